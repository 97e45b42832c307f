"""Readers of subject requests."""

from datetime import date, datetime, timedelta
from typing import NamedTuple

from django.contrib.auth.models import User
from django.db.models import Count, Q, QuerySet

from featurestore.config import settings
from featurestore.requests.due_dates import last_day
from featurestore.requests.errors import UnknownRequest
from featurestore.requests.models import Contact, CustomerMessage, RequestType, SubjectRequest
from featurestore.requests.states import UNVERIFIED, WORKED_ON, State

TO_SEND_BY_HAND = Q(state__in=(CustomerMessage.State.BY_HAND, CustomerMessage.State.FAILED))
PERMISSIONS = "django.contrib.auth.backends.ModelBackend"
OVERDUE = Q(paused_at=None, state__in=sorted(WORKED_ON))
"""With a due date that is past: overdue. While its clock is paused, a request is not."""
NOT_VERIFIED = Q(state__in=sorted(UNVERIFIED))


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
    overdue = Count("pk", filter=due_by(now))
    rows = SubjectRequest.objects.filter(state__in=sorted(WORKED_ON)).order_by().values("type")
    counted = {row["type"]: row for row in rows.annotate(open=Count("pk"), overdue=overdue)}
    none = {"open": 0, "overdue": 0}
    found = {type_: counted.get(type_, none) for type_ in RequestType.values}
    return {type_: OpenRequests(row["open"], row["overdue"]) for type_, row in found.items()}


def assignable() -> QuerySet[User]:
    """Active staff who may see requests, and so be assigned one."""
    found = User.objects.with_perm("requests.view_subjectrequest", is_active=True, backend=PERMISSIONS)
    return found.filter(is_staff=True).order_by("username")


def contacts_of(subject: str) -> QuerySet[Contact]:
    """The contacts on record of a subject, by kind, the newest first."""
    return Contact.objects.filter(subject=subject) if subject else Contact.objects.none()


class DueRequests(NamedTuple):
    """Number of requests whose answer is due, of them overdue ones, and the last day of the first of them."""

    number: int
    overdue: int
    first: date | None


def due_of(user_id: int | None, now: datetime) -> DueRequests:
    """Requests that are overdue, or due soon; of a staff member: those assigned to them."""
    running = SubjectRequest.objects.filter(due_by(soon(now)))
    if user_id is not None:
        running = running.filter(assignee=user_id)
    found = running.aggregate(n=Count("pk"), overdue=Count("pk", filter=Q(due_at__lte=now)))
    first = running.select_related("regime").order_by("due_at", "pk").first() if found["n"] else None
    return DueRequests(found["n"], found["overdue"], last_day(first) if first else None)


def due_by(end: datetime) -> Q:
    """The condition that a request's answer is due by then: with the present, that it is overdue."""
    return OVERDUE & Q(due_at__lte=end)


def soon(now: datetime) -> datetime:
    """The end of what is due soon: the time from which staff are reminded."""
    return now + timedelta(days=settings().request_reminder_days)


def unverified() -> QuerySet[SubjectRequest]:
    """Requests that nobody verified."""
    return SubjectRequest.objects.filter(NOT_VERIFIED)


def to_approve(user_name: str) -> QuerySet[SubjectRequest]:
    """Requests whose refusal somebody else has proposed."""
    return SubjectRequest.objects.filter(proposed_to(user_name))


def proposed_to(user_name: str) -> Q:
    """The condition that somebody else has proposed a refusal, which this user may approve."""
    return Q(state=State.TO_APPROVE) & ~Q(proposed_by=user_name)


def to_send_by_hand() -> QuerySet[CustomerMessage]:
    """Messages that staff must send: without a contact that can be reached, or given up."""
    return CustomerMessage.objects.filter(TO_SEND_BY_HAND)


def unsent_messages() -> QuerySet[CustomerMessage]:
    """Messages to customers that were tried, or given up, and not sent."""
    return CustomerMessage.objects.filter(
        Q(state=CustomerMessage.State.QUEUED, attempts__gt=0) | Q(state=CustomerMessage.State.FAILED)
    )
