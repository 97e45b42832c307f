"""Logs: one JSON object a line on standard error, without personal data; one line of plain text in a terminal.

For every caller: a traceback has no local variables; of an exception's message only the first line is logged (databases
and validators quote the offending values below it); the value of a field whose name means a person or a secret is
replaced.
"""

import logging
import logging.config
import multiprocessing.util
import os
import select
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

PRIVATE = frozenset(
    "authorization body cookie customer_id device_id email first_name identifier key last_name name password payload "
    "phone secret token value".split()
)


STDERR = 2
QUIET_LOGGERS = ("django.server", "oauthlib", "oauth2_provider")
"""Logged from WARNING on: at DEBUG, oauthlib writes whole tokens."""
REQUEST_LOGGER = logging.getLogger("featurestore.requests")
encode = msgspec.json.Encoder(enc_hook=str).encode


def conceal(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of private fields. The event's text is ours and stays."""
    for field in PRIVATE & event.keys():
        event[field] = "[private]"
    return event


def cut_messages(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Cut the message of each exception in a rendered traceback to its first line."""
    for exception in event.get("exception", ()):
        exception["exc_value"] = exception["exc_value"].partition("\n")[0]
    return event


def as_text(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """An event as a person reads it: time, level, text, fields; of exceptions their types, messages and places.

    >>> as_text(None, "", {"timestamp": "2026-11-22T12:00:00Z", "level": "warning", "event": "late", "seconds": 3})
    '12:00:00 warning late seconds=3'
    """
    fields = {name: value for name, value in event.items() if name not in ("timestamp", "level", "event", "exception")}
    head = f"{str(event.get('timestamp', ''))[11:19]} {event.get('level', '')} {event.get('event', '')}"
    lines = [" ".join([head, *(f"{name}={value}" for name, value in fields.items())])]
    for exception in event.get("exception", ()):
        lines.append(f"  {exception['exc_type']}: {exception['exc_value']}")
        lines += [f"    {at['filename']}:{at['lineno']} {at['name']}" for at in exception["frames"]]
    return "\n".join(line.translate(NO_CONTROLS) for line in lines)


NO_CONTROLS = dict.fromkeys([*range(32), *range(127, 160)], "?") | dict.fromkeys(b"\t\n\r", " ")
"""A field's control characters would steer the terminal."""


def in_terminal() -> bool:
    """Whether a person reads standard error as it is written."""
    return os.isatty(STDERR)


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
    cut_messages,
]


def as_line(event: MutableMapping[str, Any]) -> bytes:
    """A request's line in a terminal."""
    return as_text(None, "", {**event, "timestamp": event["timestamp"].isoformat()}).encode()


class RequestLog:
    """One line a request, as the chain above would write it in 20 us, a sixth of a feature read.

    A thread writes lines together, INTERVAL_S later at most: at each write the interpreter may switch threads, and a
    request would wait. While standard error accepts no bytes, the newest MAX_LINES are kept.
    """

    INTERVAL_S, MAX_LINES = 0.05, 50_000

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        """Begin without lines: a forked child must not write its parent's."""
        self._lines: deque[dict[str, Any]] = deque(maxlen=self.MAX_LINES)
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, fields: dict[str, Any]) -> None:
        if REQUEST_LOGGER.isEnabledFor(logging.INFO):
            self._lines.append({"timestamp": datetime.now(UTC), **fields})
            if self._thread is None:
                self._start()

    def flush(self) -> None:
        """Write all lines, as far as standard error accepts them."""
        common = {"event": "request", "level": "info", "logger": REQUEST_LOGGER.name}
        with self._writing:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            render = as_line if in_terminal() else encode
            encoded = [render(conceal(None, "info", {**common, **line})) + b"\n" for line in lines]
            written = 0
            try:
                for together in _writable_at_once(encoded):
                    os.write(STDERR, b"".join(together))
                    written += len(together)
            except OSError:  # full or closed: there is no other place to report it
                self._lines.extendleft(reversed(lines[written:]))

    def _start(self) -> None:
        with self._writing:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_forever, name="request lines", daemon=True)
                self._thread.start()
                # Unlike atexit's, this is called at the end of a forked worker too.
                multiprocessing.util.Finalize(None, self.flush, exitpriority=90)

    def _write_forever(self) -> None:
        while True:
            time.sleep(self.INTERVAL_S)
            self.flush()


def _writable_at_once(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Lines in order, in groups that a pipe takes as one piece while other processes write to it."""
    together: list[bytes] = []
    for line in lines:
        if together and sum(map(len, together)) + len(line) > select.PIPE_BUF:
            yield together
            together = []
        together.append(line)
    if together:
        yield together


request_log = RequestLog()


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
    """The standard library's configuration, also for servers that apply it themselves and add ``loggers``."""
    last = as_text if in_terminal() else structlog.processors.JSONRenderer()
    line = {"()": structlog.stdlib.ProcessorFormatter, "foreign_pre_chain": SHARED, "processors": [*RENDER, last]}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": line},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {**{name: {"level": "WARNING"} for name in QUIET_LOGGERS}, **(loggers or {})},
    }
