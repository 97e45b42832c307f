"""What the queue shows: the filters, and the links above the list with the number of requests of each."""

from datetime import timedelta
from typing import Any, NamedTuple

from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from unfold.contrib.filters.admin import DropdownFilter

from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.requests import selectors
from featurestore.requests.models import SubjectRequest
from featurestore.requests.states import ENDED, UNVERIFIED, WORKED_ON, State

TO_DO = Q(state__in=sorted(WORKED_ON | {State.ANSWERED}))
ENDED_OR_ALL = {"ended": Q(state__in=sorted(ENDED)), "all": Q()}


class ShownFilter(DropdownFilter):
    """Filter by what there is to do. Without a choice: verified requests that have not ended, or those found."""

    title = "what to show"
    parameter_name = "shown"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, title) for name, title, _ in _parts(request)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        conditions = {name: condition for name, _, condition in _parts(request)} | ENDED_OR_ALL
        condition = conditions.get(self.value() or "")
        if condition is not None:
            return queryset.filter(condition)
        return queryset if request.GET.get("q") else queryset.filter(TO_DO)


def _parts(request: HttpRequest) -> list[tuple[str, str, Q | None]]:
    """Name, title and condition of each part. None: many requests as a rule, which are not counted."""
    now = database_now()
    soon = now + timedelta(days=settings().request_reminder_days)
    return [
        ("unverified", "Not verified", Q(state__in=sorted(UNVERIFIED))),
        ("due", "Due soon", selectors.OVERDUE & Q(due_at__lte=soon)),
        ("overdue", "Overdue", selectors.OVERDUE & Q(due_at__lte=now)),
        ("approve", "To approve", Q(state=State.TO_APPROVE) & ~Q(proposed_by=request.user.get_username())),
        ("ended", "Ended", None),
        ("all", "All", None),
    ]


class AssignedFilter(DropdownFilter):
    """Filter by whom a request is assigned to: the user, or nobody."""

    title = "assigned"
    parameter_name = "assigned"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("me", "To me"), ("nobody", "To nobody")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "me":
                return queryset.filter(assignee=request.user.pk)
            case "nobody":
                return queryset.filter(assignee=None)
        return queryset


class Link(NamedTuple):
    """A link to a part of the queue. ``number`` of its requests; None: not counted."""

    title: str
    address: str
    number: int | None
    chosen: bool


def shown_links(request: HttpRequest) -> list[Link]:
    """The parts of the queue, with numbers of one query."""
    counted: dict[str, tuple[str, Q]] = {
        "To do": ("", TO_DO),
        "Assigned to me": ("assigned=me", TO_DO & Q(assignee=request.user.pk)),
        "To nobody": ("assigned=nobody", TO_DO & Q(assignee=None)),
    }
    counted |= {title: (f"shown={name}", part) for name, title, part in _parts(request) if part is not None}
    numbers = SubjectRequest.objects.order_by().aggregate(
        **{f"n{place}": Count("pk", filter=condition) for place, (_, condition) in enumerate(counted.values())}
    )
    queue, chosen = reverse("admin:requests_subjectrequest_changelist"), request.GET.urlencode()
    links = [
        Link(title, f"{queue}?{query}", numbers[f"n{place}"], chosen == query)
        for place, (title, (query, _)) in enumerate(counted.items())
    ]
    uncounted = [(f"shown={name}", title) for name, title, part in _parts(request) if part is None]
    return links + [Link(title, f"{queue}?{query}", None, chosen == query) for query, title in uncounted]
