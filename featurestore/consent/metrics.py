"""Prometheus gauge of the latch. It is read from the database, so every process reports the same."""

from collections.abc import Callable
from time import monotonic

import structlog
from django.db import DatabaseError
from prometheus_client import Gauge

from featurestore.consent.models import ChangeSequence
from featurestore.shared_metrics import SHARED

LATCHED = Gauge(
    "rapport_latched", "1 while every read is denied because the database has lost commits, else 0.", registry=SHARED
)

MIN_INTERVAL_S = 5
"""Between two queries."""

_due_s = 0.0
log = structlog.get_logger(__name__)


def measure(clock: Callable[[], float] = monotonic) -> None:
    """Update the gauge. Without the database it is NaN."""
    global _due_s
    if clock() < _due_s:
        return
    try:
        LATCHED.set(ChangeSequence.objects.filter(latched_at__isnull=False).exists())
    except DatabaseError as error:
        log.warning("latch not read: the database is unavailable", error=str(error))
        LATCHED.set(float("nan"))
    _due_s = clock() + MIN_INTERVAL_S
