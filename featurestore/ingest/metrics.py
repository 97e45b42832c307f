"""Prometheus gauges of dead letters. They are read from the database, so every process reports the same."""

import structlog
from django.db import DatabaseError
from prometheus_client import Gauge

from featurestore.clock import database_now
from featurestore.ingest import selectors
from featurestore.ingest.models import DeadLetter
from featurestore.shared_metrics import SHARED, measured_every

WAITING = Gauge(
    "rapport_dead_letters_waiting", "Dead letters without a final decision.", ["topic", "reason"], registry=SHARED
)
OLDEST = Gauge("rapport_dead_letters_oldest_seconds", "Age of the oldest of them; 0 without any.", registry=SHARED)
UNREAD = Gauge(
    "rapport_dead_letters_unread_seconds", "Time since their topic was last read to its end.", registry=SHARED
)

log = structlog.get_logger(__name__)


@measured_every(15)
def measure() -> None:
    """Update the gauges. Without the database they are NaN."""
    _count()


def _count() -> None:
    WAITING.clear()
    try:
        for group in selectors.groups(DeadLetter.objects.filter(selectors.WAITING)):
            WAITING.labels(group.topic, group.reason).set(group.size)
        found, now = selectors.quarantine_status(), database_now()
    except DatabaseError as error:
        log.warning("dead letters not counted: the database is unavailable", error=str(error))
        OLDEST.set(float("nan"))
        UNREAD.set(float("nan"))
        return
    OLDEST.set((now - found.oldest_at).total_seconds() if found.oldest_at else 0)
    UNREAD.set((now - found.read_at).total_seconds() if found.read_at else float("inf"))
