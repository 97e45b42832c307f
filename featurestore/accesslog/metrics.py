"""Prometheus metrics of the access log's stream and gaps. Every process that is scraped reports the same values.

The metrics of a process's own pending records are in featurestore/accesslog/writer.py.
"""

import structlog
from django.db import DatabaseError
from prometheus_client import Gauge

from featurestore.accesslog import selectors
from featurestore.clock import database_now
from featurestore.shared_metrics import SHARED, measured_every

ENTRIES = Gauge(
    "rapport_access_log_stream_entries",
    "Batches of access records in the control Redis, to be written.",
    registry=SHARED,
)
OLDEST = Gauge(
    "rapport_access_log_stream_oldest_seconds", "Age of the oldest of these batches; 0 without any.", registry=SHARED
)
QUARANTINED = Gauge(
    "rapport_access_log_quarantined", "Batches of access records that could not be written.", registry=SHARED
)
GAPS = Gauge("rapport_access_log_gaps", "Gaps in the access records of the last 24 hours.", ["reason"], registry=SHARED)

UNKNOWN = float("nan")

log = structlog.get_logger(__name__)


@measured_every(15)
def measure() -> None:
    """Update the gauges, unless they are recent. What can't be read is NaN, or for gaps absent."""
    state = selectors.stream_state()
    ENTRIES.set(state.entries if state else UNKNOWN)
    OLDEST.set(state.oldest_s if state else UNKNOWN)
    QUARANTINED.set(state.quarantined if state else UNKNOWN)
    _count_gaps()


def _count_gaps() -> None:
    try:
        counts = selectors.gaps_by_reason(database_now() - selectors.DAY)
    except DatabaseError as error:
        log.warning("access gaps not counted: database unavailable", error=str(error))
        GAPS.clear()
        return
    for reason, count in counts.items():
        GAPS.labels(reason).set(count)
