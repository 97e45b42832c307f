"""Logs: one JSON object a line on standard error, without personal data.

Three leaks are closed here once, for every caller: a traceback never prints local variables, an exception tells its
first line only (databases and validators quote the offending values below it), and any field whose name says that it
identifies a person or a secret is replaced.
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
    While standard error takes none, the newest MOST are kept.
    """

    EVERY_S, MOST = 0.05, 50_000

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """A process without a past: a child must not write what its parent was told."""
        self._lines: deque[dict[str, Any]] = deque(maxlen=self.MOST)
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    def tell(self, fields: dict[str, Any]) -> None:
        if REQUESTS.isEnabledFor(logging.INFO):
            self._lines.append({"timestamp": datetime.now(UTC), **fields})
            if self._thread is None:
                self._start()

    def flush(self) -> None:
        """Write what was told, as far as standard error takes it."""
        about = {"event": "request", "level": "info", "logger": REQUESTS.name}
        with self._writing:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            told = [encode(conceal(None, "info", {**about, **line})) + b"\n" for line in lines]
            written = 0
            try:
                for together in _atomic(told):
                    os.write(STDERR, b"".join(together))
                    written += len(together)
            except OSError:  # full, or gone: there is nowhere else to say it
                self._lines.extendleft(reversed(lines[written:]))

    def _start(self) -> None:
        with self._writing:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_on, name="request lines", daemon=True)
                self._thread.start()
                # Unlike atexit's, this is called at the end of a forked worker too.
                multiprocessing.util.Finalize(None, self.flush, exitpriority=90)

    def _write_on(self) -> None:
        while True:
            time.sleep(self.EVERY_S)
            self.flush()


def _atomic(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Lines in order, so many together as a pipe takes in one piece, whoever else writes to it."""
    together: list[bytes] = []
    for line in lines:
        if together and sum(map(len, together)) + len(line) > select.PIPE_BUF:
            yield together
            together = []
        together.append(line)
    if together:
        yield together


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
