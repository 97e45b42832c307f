"""Requests per client and hour, by route and status: added by the access log's consumer, shown on the client's page."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import F, Q, Sum

from featurestore.access.models import ClientUsage

DAY, WEEK = timedelta(days=1), timedelta(days=7)


def add_requests(counts: Mapping[tuple[str, datetime, str, int], int]) -> None:
    """Add numbers of requests by client, hour, route and status. Runs in the caller's transaction."""
    cells = {key: ClientUsage(client=key[0], hour=key[1], route=key[2], status=key[3]) for key in sorted(counts)}
    ClientUsage.objects.bulk_create(cells.values(), ignore_conflicts=True)
    for (client, hour, route, status), count in sorted(counts.items()):
        cell = ClientUsage.objects.filter(client=client, hour=hour, route=route, status=status)
        cell.update(requests=F("requests") + count)


def prune(before: datetime) -> None:
    """Delete the counts of hours that began before a time."""
    ClientUsage.objects.filter(hour__lt=before).delete()


class RouteUsage(NamedTuple):
    """Requests to a route answered with a status, in the last day and the last week, by whole hours."""

    route: str
    status: int
    day: int
    week: int

    @property
    def failed(self) -> bool:
        return self.status >= 400


def client_usage(client: str, now: datetime) -> list[RouteUsage]:
    """A client's requests by route and status. Client "" means requests without a valid credential."""
    cells = ClientUsage.objects.filter(client=client, hour__gt=now - WEEK).order_by("route", "status")
    summed = cells.values_list("route", "status").annotate(
        day=Sum("requests", filter=Q(hour__gt=now - DAY), default=0), week=Sum("requests")
    )
    return [RouteUsage(*row) for row in summed]
