"""Readers of subject requests."""

from datetime import datetime
from typing import NamedTuple

from django.db.models import Count, Q, QuerySet

from featurestore.requests.errors import UnknownRequest
from featurestore.requests.models import CustomerMessage, RequestType, SubjectRequest
from featurestore.requests.states import WORKED_ON

OVERDUE = Q(paused_at=None, state__in=sorted(WORKED_ON))
"""With a due date that is past: overdue. While its clock is paused, a request is not."""


class OpenRequests(NamedTuple):
    """Numbers of verified requests of one type that are not answered: all, and the overdue ones."""

    open: float
    overdue: float


def request_named(reference: str) -> SubjectRequest:
    """The request with a reference. Raises UnknownRequest."""
    related = SubjectRequest.objects.select_related("regime", "rule", "duplicate_of")
    found = related.filter(reference=reference).first() if "\0" not in reference else None
    if found is None:
        raise UnknownRequest("No such request.")
    return found


def first_due_at(request: SubjectRequest) -> datetime:
    """The due date as of the receipt: what the first answer said, and a repeat says again."""
    return request.events.filter(number=1).values_list("due_at", flat=True)[0] or request.due_at


def open_by_type(now: datetime) -> dict[str, OpenRequests]:
    """Open and overdue requests of every type."""
    overdue = Count("pk", filter=OVERDUE & Q(due_at__lte=now))
    rows = SubjectRequest.objects.filter(state__in=sorted(WORKED_ON)).order_by().values("type")
    counted = {row["type"]: row for row in rows.annotate(open=Count("pk"), overdue=overdue)}
    none = {"open": 0, "overdue": 0}
    found = {type_: counted.get(type_, none) for type_ in RequestType.values}
    return {type_: OpenRequests(row["open"], row["overdue"]) for type_, row in found.items()}


def unsent_messages() -> QuerySet[CustomerMessage]:
    """Messages to customers that were tried, or given up, and not sent."""
    return CustomerMessage.objects.filter(
        Q(state=CustomerMessage.State.QUEUED, attempts__gt=0) | Q(state=CustomerMessage.State.FAILED)
    )
