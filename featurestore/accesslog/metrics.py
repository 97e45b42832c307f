"""What Prometheus is told of access records on their way and of gaps: by any process that is asked, all tell the same.

What a process has not sent yet is its own to tell: featurestore/accesslog/writer.py.
"""

from collections.abc import Callable
from time import monotonic

import structlog
from django.db import DatabaseError
from prometheus_client import Gauge

from featurestore.accesslog import selectors
from featurestore.clock import database_now

ENTRIES = Gauge("rapport_access_stream_entries", "Batches of access records in the control Redis, to be written.")
OLDEST = Gauge("rapport_access_stream_oldest_seconds", "How long the oldest of them waits; 0 without any.")
UNREADABLE = Gauge("rapport_access_unreadable", "Batches of access records that were put aside.")
GAPS = Gauge("rapport_access_gaps", "Gaps in the access records of the last 24 hours.", ["reason"])

REST_S = 15
"""Between two measurements, as of dead letters."""
UNKNOWN = float("nan")

_due_s = 0.0
log = structlog.get_logger(__name__)


def measure(clock: Callable[[], float] = monotonic) -> None:
    """Bring the gauges up to date. Where the control Redis or the database is away they say that they don't know."""
    global _due_s
    if clock() < _due_s:
        return
    state = selectors.on_their_way()
    ENTRIES.set(state.entries if state else UNKNOWN)
    OLDEST.set(state.oldest_s if state else UNKNOWN)
    UNREADABLE.set(state.aside if state else UNKNOWN)
    _count_gaps()
    _due_s = clock() + REST_S


def _count_gaps() -> None:
    try:
        counts = selectors.gaps_by_reason(database_now() - selectors.DAY)
    except DatabaseError as error:
        log.warning("gaps in access records not counted: the database is away", error=str(error))
        GAPS.clear()
        return
    for reason, count in counts.items():
        GAPS.labels(reason).set(count)
