"""Prometheus gauges of erasures. They are read from the database, so every process reports the same."""

from collections.abc import Callable
from time import monotonic

import structlog
from django.db import DatabaseError
from django.db.models import Count, Min
from prometheus_client import Gauge

from featurestore.clock import database_now
from featurestore.requests.erasure.models import Erasure, ErasureStep
from featurestore.shared_metrics import SHARED

State = ErasureStep.State
STEPS = Gauge(
    "rapport_erasure_steps", "Locations of erasures that are not closed, by state.", ["state"], registry=SHARED
)
HINDERED = Gauge(
    "rapport_erasure_hindered_seconds", "How long a location of an erasure has been unavailable, at most.",
    registry=SHARED,
)  # fmt: skip
MIN_INTERVAL_S = 15

_due_s = 0.0
log = structlog.get_logger(__name__)


def measure(clock: Callable[[], float] = monotonic) -> None:
    """Update the gauges. Without the database they are NaN."""
    global _due_s
    if clock() < _due_s:
        return
    _due_s = clock() + MIN_INTERVAL_S
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
