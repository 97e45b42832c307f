"""Prometheus gauges of the consent journal. They are read from the database, so every process reports the same."""

import structlog
from django.db import DatabaseError
from prometheus_client import Gauge

from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.consent.models import JournalCheckpoint, KeptDenial, PermissionChange
from featurestore.shared_metrics import SHARED, measured_every

WAITING = Gauge(
    "rapport_journal_waiting", "Permission changes that the consent journal has not acknowledged yet.", registry=SHARED
)
OLDEST = Gauge("rapport_journal_oldest_seconds", "Age of the oldest of them; 0 without any.", registry=SHARED)
UNCOMPARED = Gauge(
    "rapport_journal_uncompared_seconds", "Time since the database was last compared with the journal.", registry=SHARED
)
DATABASE_AHEAD = Gauge(
    "rapport_database_clock_ahead_seconds",
    "How far the database's clock is ahead of the brokers', at worst.",
    registry=SHARED,
)
KEPT = Gauge(
    "rapport_kept_denials", "Denials taken over for subjects that are not registered again yet.", registry=SHARED
)

log = structlog.get_logger(__name__)


@measured_every(15)
def measure() -> None:
    """Update the gauges. Without the database they are NaN; without a journal they stay 0."""
    if not settings().journal_topic:
        return
    _read()


def _read() -> None:
    try:
        waiting = PermissionChange.objects.filter(journaled_at=None)
        count, oldest_at = waiting.count(), waiting.order_by("sequence").values_list("created_at", flat=True).first()
        checkpoint = JournalCheckpoint.objects.values_list("compared_at", "database_ahead_ms").first()
        kept, now = KeptDenial.objects.count(), database_now()
    except DatabaseError as error:
        log.warning("journal not measured: the database is unavailable", error=str(error))
        for gauge in (WAITING, OLDEST, UNCOMPARED, DATABASE_AHEAD, KEPT):
            gauge.set(float("nan"))
        return
    WAITING.set(count)
    OLDEST.set((now - oldest_at).total_seconds() if oldest_at else 0)
    compared_at, ahead_ms = checkpoint or (None, None)
    DATABASE_AHEAD.set((ahead_ms or 0) / 1000)
    UNCOMPARED.set((now - compared_at).total_seconds() if compared_at else float("inf"))
    KEPT.set(kept)
