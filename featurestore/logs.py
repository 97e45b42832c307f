"""Logs: one JSON object a line on standard error, without personal data.

Three leaks are closed here once, for every caller: a traceback never prints local variables, an exception tells its
first line only (databases and validators quote the offending values below it), and any field whose name says that it
identifies a person or a secret is replaced.
"""

import atexit
import logging
import logging.config
import os
import threading
import time
from collections import deque
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
TALKATIVE = ("django.server", "oauthlib", "oauth2_provider")
"""Heard from WARNING on: at its DEBUG, oauthlib writes whole tokens."""
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


class Requests:
    """One line about each request, as the chain above would write it: that takes 20 us, a sixth of a feature read.

    Lines are written together, EVERY_S later at most: each write lets another thread go first, and the request wait.
    """

    EVERY_S = 0.05

    def __init__(self) -> None:
        self._lines: deque[dict[str, Any]] = deque()
        self._writing = threading.Lock()
        self._pid = 0

    def tell(self, fields: dict[str, Any]) -> None:
        if REQUESTS.isEnabledFor(logging.INFO):
            self._lines.append({"timestamp": datetime.now(UTC), **fields})
            if self._pid != os.getpid():  # a fork takes no threads along
                self._pid = os.getpid()
                threading.Thread(target=self._write_on, name="request lines", daemon=True).start()
                atexit.register(self.flush)

    def flush(self) -> None:
        """Write what was told."""
        about = {"event": "request", "level": "info", "logger": REQUESTS.name}
        with self._writing:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            if lines:
                told = [encode(conceal(None, "info", {**about, **line})) + b"\n" for line in lines]
                os.write(STDERR, b"".join(told))

    def _write_on(self) -> None:
        while True:
            time.sleep(self.EVERY_S)
            self.flush()


requests = Requests()


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
        "loggers": {**{name: {"level": "WARNING"} for name in TALKATIVE}, **(loggers or {})},
    }
