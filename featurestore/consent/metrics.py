"""Prometheus gauge of the latch. It is read from the database, so every process reports the same."""

import structlog
from django.db import DatabaseError
from prometheus_client import Gauge

from featurestore.consent.models import ChangeSequence
from featurestore.shared_metrics import SHARED, measured_every

LATCHED = Gauge(
    "rapport_latched", "1 while every read is denied because the database has lost commits, else 0.", registry=SHARED
)

log = structlog.get_logger(__name__)


@measured_every(5)
def measure() -> None:
    """Update the gauge. Without the database it is NaN."""
    try:
        LATCHED.set(ChangeSequence.objects.filter(latched_at__isnull=False).exists())
    except DatabaseError as error:
        log.warning("latch not read: the database is unavailable", error=str(error))
        LATCHED.set(float("nan"))
