"""Prometheus gauges of erasures. They are read from the database, so every process reports the same."""

import structlog
from django.db import DatabaseError
from django.db.models import Count, Min
from prometheus_client import Gauge

from featurestore.clock import database_now
from featurestore.requests.erasure.models import Erasure, ErasureStep
from featurestore.shared_metrics import SHARED, measured_every

State = ErasureStep.State
STEPS = Gauge(
    "rapport_erasure_steps", "Locations of erasures that are not closed, by state.", ["state"], registry=SHARED
)
HINDERED = Gauge(
    "rapport_erasure_hindered_seconds", "How long a location of an erasure has been unavailable, at most.",
    registry=SHARED,
)  # fmt: skip

log = structlog.get_logger(__name__)


@measured_every(15)
def measure() -> None:
    """Update the gauges. Without the database they are NaN."""
    STEPS.clear()
    try:
        steps = ErasureStep.objects.exclude(erasure__state=Erasure.State.CLOSED).order_by()
        for state, count in steps.values_list("state").annotate(Count("pk")):
            STEPS.labels(state).set(count)
        since = steps.filter(state=State.UNAVAILABLE).aggregate(since=Min("since"))["since"]
        HINDERED.set(max((database_now() - since).total_seconds(), 0) if since else 0)
    except DatabaseError as error:
        log.warning("erasures not counted: the database is unavailable", error=str(error))
        HINDERED.set(float("nan"))
