"""Logs: one JSON object a line on standard error, without personal data.

Three leaks are closed here once, for every caller: a traceback never prints local variables, an exception tells its
first line only (databases and validators quote the offending values below it), and any field whose name says that it
identifies a person or a secret is replaced.
"""

import logging
import logging.config
import os
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

PRIVATE = frozenset(
    "authorization body cookie customer_id device_id email first_name identifier key last_name name password payload "
    "phone secret token value".split()
)


STDERR = 2
REQUESTS = logging.getLogger("featurestore.requests")
encode = msgspec.json.Encoder(enc_hook=str).encode


def conceal(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of private fields; the event's text is written by us and stays."""
    for field in PRIVATE & event.keys():
        event[field] = "[private]"
    return event


def first_lines(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Cut each exception of a rendered traceback to the first line of its message."""
    for raised in event.get("exception", ()):
        raised["exc_value"] = raised["exc_value"].partition("\n")[0]
    return event


def tell_request(fields: dict[str, Any]) -> None:
    """One line about one request, as the chain below would write it: that takes 20 us, a sixth of a feature read."""
    if REQUESTS.isEnabledFor(logging.INFO):
        line = {"event": "request", "level": "info", "logger": REQUESTS.name, "timestamp": datetime.now(UTC), **fields}
        os.write(STDERR, encode(line if PRIVATE.isdisjoint(line) else conceal(None, "info", line)) + b"\n")


SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.stdlib.ExtraAdder(allow={"status_code"}),
    conceal,
]
RENDER: list[Any] = [
    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
    structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
    first_lines,
    structlog.processors.JSONRenderer(),
]


def configure_logs(level: str) -> None:
    """Send structlog's and the standard library's records through one chain."""
    structlog.configure(
        processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(configuration(level))


def configuration(level: str, loggers: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The standard library's part of it, for whoever configures logging by itself; ``loggers`` are its own."""
    json = {"()": structlog.stdlib.ProcessorFormatter, "foreign_pre_chain": SHARED, "processors": RENDER}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": json},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {"django.server": {"level": "WARNING"}, **(loggers or {})},
    }
