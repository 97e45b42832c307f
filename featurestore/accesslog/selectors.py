"""The readers of access records: their gaps, and what is still on its way."""

from datetime import datetime, timedelta

from django.db.models import Count, QuerySet

from featurestore.accesslog.models import AccessGap
from featurestore.accesslog.stream import GLANCE_S, State, StreamAway, opened

DAY = timedelta(days=1)
LATE_S = 60.0
"""Records that wait longer than this are not being written."""


def gaps(since: datetime, until: datetime | None = None) -> QuerySet[AccessGap]:
    """Gaps of a time, the latest first."""
    found = AccessGap.objects.filter(until__gte=since).select_related("process")
    return found.filter(since__lte=until) if until else found


def gaps_by_reason(since: datetime) -> dict[str, int]:
    """How many there are of a time."""
    counted = gaps(since).order_by().values_list("reason").annotate(Count("pk"))
    return dict.fromkeys(AccessGap.Reason.values, 0) | dict(counted)


def on_their_way() -> State | None:
    """What waits in the control Redis to be written. None: it does not answer."""
    try:
        with opened(GLANCE_S) as stream:
            return stream.state()
    except StreamAway:
        return None
