"""A worker process: logs, event loop, checks of the cluster, then Faust until it ends."""

import logging
import sys
from collections.abc import Callable, Iterable

import faust
import mode.loop
import structlog

from featurestore.config import Settings
from streams import topics
from streams.app import App, Work, create_app

CHATTY = ("aiokafka", "faust", "mode")


def run(settings: Settings, sources: Iterable[str], work: Callable[[App], Work]) -> None:
    """Run until SIGTERM (offsets committed, exit 0) or an error (exit 70, nothing committed past it)."""
    sources = list(sources)
    configure_logs(settings.log_level)
    topics.check(settings, sources)
    mode.loop.use("uvloop")
    app = create_app(topics.with_allowed_session(settings), sources, work)
    faust.Worker(app, quiet=True, override_logging=False).execute_from_commandline()


def configure_logs(level: str) -> None:
    """One JSON object a line on standard error; Faust's own tables and banners only when debugging."""
    logging.basicConfig(level=level, stream=sys.stderr, format="%(message)s")
    for name in CHATTY:
        logging.getLogger(name).setLevel("DEBUG" if level == "DEBUG" else "WARNING")
    exceptions = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(exceptions),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
