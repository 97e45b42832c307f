"""What Prometheus is told of dead letters, by any process that is asked: the database knows, so all tell the same."""

from collections.abc import Callable
from time import monotonic

import structlog
from django.db import DatabaseError
from prometheus_client import Gauge

from featurestore.clock import database_now
from featurestore.ingest import selectors
from featurestore.ingest.models import DeadLetter

WAITING = Gauge("rapport_dead_letters_waiting", "Dead letters that nobody has settled.", ["topic", "reason"])
OLDEST = Gauge("rapport_dead_letters_oldest_seconds", "How long the oldest of them waits; 0 without any.")
UNREAD = Gauge("rapport_dead_letters_unread_seconds", "How long ago they were read from Kafka.")

REST_S = 15
"""Between two countings: a scrape is no load, and a database that hangs spoils one in three of them at most."""

_due_s = 0.0
log = structlog.get_logger(__name__)


def measure(clock: Callable[[], float] = monotonic) -> None:
    """Bring the gauges up to date. Without the database they say that they don't know."""
    global _due_s
    if clock() < _due_s:
        return
    _count()
    _due_s = clock() + REST_S


def _count() -> None:
    WAITING.clear()
    try:
        for group in selectors.groups(DeadLetter.objects.filter(selectors.WAITING)):
            WAITING.labels(group.topic, group.reason).set(group.dead_letters)
        found, now = selectors.quarantine_status(), database_now()
    except DatabaseError as error:
        log.warning("dead letters not counted: the database is away", error=str(error))
        OLDEST.set(float("nan"))
        UNREAD.set(float("nan"))
        return
    OLDEST.set((now - found.oldest_at).total_seconds() if found.oldest_at else 0)
    UNREAD.set((now - found.read_at).total_seconds() if found.read_at else float("inf"))
