"""Prometheus gauge of emergency accesses. It is read from the database, so every process reports the same."""

import structlog
from django.db import DatabaseError
from prometheus_client import Gauge

from featurestore.clock import database_now
from featurestore.shared_metrics import SHARED, measured_every
from featurestore.staffreads.selectors import in_force

IN_FORCE = Gauge(
    "rapport_emergency_accesses", "Emergency accesses to customers' values that are in force.", registry=SHARED
)
log = structlog.get_logger(__name__)


@measured_every(15)
def measure() -> None:
    """Update the gauge. Without the database it is NaN."""
    number = float("nan")
    try:
        number = float(in_force(database_now()).count())
    except DatabaseError as error:
        log.warning("emergency accesses not measured: the database is unavailable", error=str(error))
    IN_FORCE.set(number)
