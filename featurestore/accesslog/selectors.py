"""Readers of the access log: its gaps, and the state of its stream."""

from datetime import datetime, timedelta

from django.db.models import Count, QuerySet

from featurestore.accesslog.models import AccessGap
from featurestore.accesslog.stream import STATUS_TIMEOUT_S, StreamState, StreamUnavailable, open_stream

DAY = timedelta(days=1)
LATE_S = 60.0
"""Age of the oldest stream entry beyond which records are not being written."""


def gaps(since: datetime, until: datetime | None = None) -> QuerySet[AccessGap]:
    """Gaps that overlap a time, the latest first."""
    found = AccessGap.objects.filter(until__gte=since).select_related("process")
    return found.filter(since__lte=until) if until else found


def gaps_by_reason(since: datetime) -> dict[str, int]:
    """Number of gaps since a time, by reason."""
    counted = gaps(since).order_by().values_list("reason").annotate(Count("pk"))
    return dict.fromkeys(AccessGap.Reason.values, 0) | dict(counted)


def stream_state() -> StreamState | None:
    """The state of this installation's stream; None if the control Redis does not answer."""
    try:
        with open_stream(STATUS_TIMEOUT_S) as stream:
            return stream.state()
    except StreamUnavailable:
        return None
