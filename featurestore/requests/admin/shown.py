"""What the queue shows: the filters, and the links above the list with the number of requests of each."""

from typing import Any, NamedTuple

from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from unfold.contrib.filters.admin import DropdownFilter

from featurestore.clock import database_now
from featurestore.requests import selectors
from featurestore.requests.models import SubjectRequest
from featurestore.requests.states import ENDED, WORKED_ON, State

PARTS = {
    "unverified": "Not verified",
    "due": "Due soon",
    "overdue": "Overdue",
    "approve": "To approve",
    "ended": "Ended",
    "all": "All",
}
TO_DO = Q(state__in=sorted(WORKED_ON | {State.ANSWERED}))
ENDED_OR_ALL: dict[str | None, Q] = {"ended": Q(state__in=sorted(ENDED)), "all": Q()}
"""As a rule many requests, which are not counted."""


class ShownFilter(DropdownFilter):
    """Filter by what there is to do. Without a choice: verified requests that have not ended, or those found."""

    title = "what to show"
    parameter_name = "shown"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return list(PARTS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        if chosen in ENDED_OR_ALL:
            return queryset.filter(ENDED_OR_ALL[chosen])
        if chosen in PARTS:
            return queryset.filter(_conditions(request)[chosen])
        return queryset if request.GET.get("q") else queryset.filter(TO_DO)


def _conditions(request: HttpRequest) -> dict[str, Q]:
    """The conditions of the parts whose requests are counted."""
    now = database_now()
    return {
        "unverified": selectors.NOT_VERIFIED,
        "due": selectors.due_by(selectors.soon(now)),
        "overdue": selectors.due_by(now),
        "approve": selectors.proposed_to(request.user.get_username()),
    }


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
    counted |= {PARTS[name]: (f"shown={name}", condition) for name, condition in _conditions(request).items()}
    numbers = SubjectRequest.objects.order_by().aggregate(
        **{f"n{place}": Count("pk", filter=condition) for place, (_, condition) in enumerate(counted.values())}
    )
    queue, chosen = reverse("admin:requests_subjectrequest_changelist"), request.GET.urlencode()
    links = [
        Link(title, f"{queue}?{query}", numbers[f"n{place}"], chosen == query)
        for place, (title, (query, _)) in enumerate(counted.items())
    ]
    return links + [
        Link(PARTS[str(name)], f"{queue}?shown={name}", None, chosen == f"shown={name}") for name in ENDED_OR_ALL
    ]
