"""Prometheus gauges of subject requests. They are read from the database, so every process reports the same."""

import structlog
from django.db import DatabaseError
from prometheus_client import Gauge

from featurestore.clock import database_now
from featurestore.requests import selectors
from featurestore.requests.models import RequestType
from featurestore.shared_metrics import SHARED, measured_every

OPEN = Gauge("rapport_requests_open", "Verified subject requests that are not answered.", ["type"], registry=SHARED)
OVERDUE = Gauge("rapport_requests_overdue", "Of them: those whose due date is past.", ["type"], registry=SHARED)
UNSENT = Gauge(
    "rapport_request_messages_unsent",
    "Messages to customers that could not be sent so far, or were given up.",
    registry=SHARED,
)

UNKNOWN = selectors.OpenRequests(float("nan"), float("nan"))

log = structlog.get_logger(__name__)


@measured_every(15)
def measure() -> None:
    """Update the gauges. Without the database they are NaN."""
    counts, unsent = dict.fromkeys(RequestType.values, UNKNOWN), UNKNOWN.open
    try:
        counts, unsent = selectors.open_by_type(database_now()), float(selectors.unsent_messages().count())
    except DatabaseError as error:
        log.warning("subject requests not counted: the database is unavailable", error=str(error))
    for type_, found in counts.items():
        OPEN.labels(type_).set(found.open)
        OVERDUE.labels(type_).set(found.overdue)
    UNSENT.set(unsent)
