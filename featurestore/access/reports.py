"""What there is to read of access records: their gaps, what is still on its way, and requests per client."""

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Count, Q, QuerySet, Sum

from featurestore.access.models import AccessGap, ClientUsage
from featurestore.access.stream import GLANCE_S, State, StreamAway, opened

DAY, WEEK = timedelta(days=1), timedelta(days=7)
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


class Usage(NamedTuple):
    """Requests to a route that were answered with a status, of the last day and the last week, whole hours."""

    route: str
    status: int
    day: int
    week: int

    @property
    def failed(self) -> bool:
        return self.status >= 400


def usage(client: str, now: datetime) -> list[Usage]:
    """A client's requests by route and status; of client "", of those whom nobody knows."""
    cells = ClientUsage.objects.filter(client=client, hour__gt=now - WEEK).order_by("route", "status")
    summed = cells.values_list("route", "status").annotate(
        day=Sum("requests", filter=Q(hour__gt=now - DAY), default=0), week=Sum("requests")
    )
    return [Usage(*row) for row in summed]
