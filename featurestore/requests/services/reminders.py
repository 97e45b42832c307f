"""Reminders to staff: a request is due soon, its acknowledgement is due, it is overdue. Rows, and an e-mail for each.

A request is its assignee's concern; without one it is everybody's who may answer it. One that is overdue is also the
approvers'. A request whose clock is paused is nobody's.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import structlog
from django.contrib.auth.models import User
from django.db.models import QuerySet

from featurestore.clock import database_now
from featurestore.requests import selectors
from featurestore.requests.delivery import email
from featurestore.requests.delivery.outgoing import DeliveryFailed
from featurestore.requests.due_dates import last_day
from featurestore.requests.models import Reminder, SubjectRequest

ACKNOWLEDGE_WITHIN = timedelta(days=3)
RECIPIENTS, REQUESTS, EMAILS = 20, 1000, 10
"""At most, of one request or one call."""
RESERVATION, RETRY_AFTER, MAX_ATTEMPTS = timedelta(minutes=5), timedelta(minutes=30), 10
ANSWER, APPROVE = "requests.change_subjectrequest", "requests.approve_subjectrequest"
BACKEND = "django.contrib.auth.backends.ModelBackend"
Kind = Reminder.Kind
TEXTS = {
    Kind.ACKNOWLEDGEMENT_DUE: "Acknowledge request {} by {}",
    Kind.DUE_SOON: "Request {} is due on {}",
    Kind.OVERDUE: "Request {} is overdue since {}",
}
log = structlog.get_logger(__name__)


def running(kind: str, at: datetime) -> QuerySet[SubjectRequest]:
    """The requests that a kind of reminder is about at a time. A paused clock reminds nobody."""
    match kind:
        case Kind.OVERDUE:
            return SubjectRequest.objects.filter(selectors.due_by(at))
        case Kind.DUE_SOON:
            return SubjectRequest.objects.filter(selectors.due_by(selectors.soon(at)), due_at__gt=at)
    last = at + ACKNOWLEDGE_WITHIN
    return SubjectRequest.objects.filter(selectors.OVERDUE, acknowledged_at=None, acknowledge_by__lte=last)


def remind(now: datetime | None = None) -> int:
    """Record the reminders that are due, once for each request, due date and recipient; the number of new ones."""
    at, new = now or database_now(), 0
    officers, approvers = _with_permission(ANSWER), _with_permission(APPROVE)
    for kind in Kind:
        for request in running(kind, at).select_related("assignee").order_by("due_at")[:REQUESTS]:
            recipients = [request.assignee] if request.assignee else officers
            if kind is Kind.OVERDUE:
                recipients = [*recipients, *approvers]
            due_at = request.acknowledge_by if kind is Kind.ACKNOWLEDGEMENT_DUE else request.due_at
            new += _record(request, kind, recipients, due_at or request.due_at, at)
    return new


def _with_permission(permission: str) -> list[User]:
    """Active staff whom a role, or an own permission, allows something. Superusers administer; they are not asked."""
    found = User.objects.with_perm(permission, is_active=True, include_superusers=False, backend=BACKEND)
    return list(found.filter(is_staff=True).order_by("pk")[:RECIPIENTS])


def _record(request: SubjectRequest, kind: Kind, to: Iterable[User], due_at: datetime, at: datetime) -> int:
    rows = [
        Reminder(request=request, recipient=one, kind=kind, due_at=due_at, created_at=at, next_attempt_at=at)
        for one in dict.fromkeys(to)
    ]
    known = set(
        Reminder.objects.filter(request=request, kind=kind, due_at=due_at).values_list("recipient_id", flat=True)
    )
    new = [row for row in rows if row.recipient_id not in known]
    Reminder.objects.bulk_create(new, ignore_conflicts=True)  # of two calls at once, one records each
    return len(new)


def send_due(now: datetime | None = None) -> int:
    """Send the reminders that are due by e-mail, to staff who have an address; their number."""
    at = now or database_now()
    if not email.available():
        return 0
    due = Reminder.objects.filter(sent_at=None, next_attempt_at__lte=at, attempts__lt=MAX_ATTEMPTS)
    sent = 0
    for reminder in due.exclude(recipient__email="").select_related("request__regime", "recipient")[:EMAILS]:
        still = due.filter(pk=reminder.pk, attempts=reminder.attempts)
        if still.update(attempts=reminder.attempts + 1, next_attempt_at=at + RESERVATION):
            sent += _send(reminder, at)
    return sent


def _send(reminder: Reminder, at: datetime) -> bool:
    request, row = reminder.request, Reminder.objects.filter(pk=reminder.pk)
    subject = TEXTS[Kind(reminder.kind)].format(request.reference, f"{last_day(request, reminder.due_at):%-d %B %Y}")
    text = f"{subject} ({request.get_type_display()}, {request.regime.title}). See the administration, Requests.\n"
    try:
        email.send_text(reminder.recipient.email, subject, text, f"reminder-{reminder.pk}")
    except DeliveryFailed as error:
        row.update(last_error=str(error), next_attempt_at=at + RETRY_AFTER)
        log.warning("reminder not sent", reason=str(error))
        return False
    row.update(sent_at=at, last_error="")
    return True
