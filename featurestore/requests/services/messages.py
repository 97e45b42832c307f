"""Messages to customers: a row each, written with the event that it tells of, and sent later by a Celery task.

A message is sent at least once: of a process that dies between sending and recording, the next one sends it again, with
the same id, by which a mail program or the webhook knows the repeat.
"""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

import structlog
from django.db import transaction
from django.db.models import F

from featurestore.clock import database_now
from featurestore.requests.actors import SYSTEM, Actor
from featurestore.requests.delivery.outgoing import DeliveryFailed, Outgoing
from featurestore.requests.delivery.port import WAYS, contact_of
from featurestore.requests.errors import NotPossible, Unreadable
from featurestore.requests.export.secrets import link_of, passphrase_of
from featurestore.requests.message_texts import Text, text_of
from featurestore.requests.models import Contact, CustomerMessage, SubjectRequest, VerificationCode
from featurestore.requests.services import codes
from featurestore.requests.services.timeline import Change, append_event, change_of, required
from featurestore.subjectkeys.errors import SubjectKeyError

MESSAGES_PER_CALL = 10
"""A server that does not answer takes 10 s each: a call stays well below a task's time limit."""
RESERVATION = timedelta(minutes=5)
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=30), timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=2)
Kind, State = CustomerMessage.Kind, CustomerMessage.State
APART: dict[str, str] = {Kind.EXPORT_LINK: Kind.PASSPHRASE, Kind.PASSPHRASE: Kind.EXPORT_LINK}
"""Messages that never take the same way: whoever has both reads all that is held about the customer."""
SECRETS: dict[str, Callable[[CustomerMessage], str]] = {Kind.EXPORT_LINK: link_of, Kind.PASSPHRASE: passphrase_of}
"""The link or passphrase that a message says when it is sent, and never before. Raises NotPossible."""
log = structlog.get_logger(__name__)


class DeliveryResult(NamedTuple):
    """Counts of one call: sent, failed for now, given up, not needed any more."""

    sent: int = 0
    failed: int = 0
    given_up: int = 0
    cancelled: int = 0


def queue(change: Change, kind: str, *, number: int = 0, **facts: Any) -> CustomerMessage:
    """Queue a message to the customer of a changed request, in the same transaction. Without a contact on record that
    this installation can reach, staff send it by hand.
    """
    request = change.request
    contact = contact_for(request, kind, number)
    return CustomerMessage.objects.create(
        request=request,
        kind=kind,
        number=number,
        language=request.language,
        contact=contact,
        text=str(text_of(request, kind, **facts)),
        state=State.QUEUED if contact else State.BY_HAND,
        created_at=change.at,
        next_attempt_at=change.at,
    )


def contact_for(request: SubjectRequest, kind: str, number: int) -> Contact | None:
    """The contact that a message goes to. Link and passphrase of an export never take the same way."""
    taken: list[str] = []
    if kind in APART:
        other = CustomerMessage.objects.filter(request=request, kind=APART[kind], number=number)
        taken = list(other.exclude(contact=None).values_list("contact__kind", flat=True))
    return contact_of(request.subject, taken)


def read_text(message: CustomerMessage) -> Text:
    """The text of a message, without its link or passphrase. Raises SubjectKeyError."""
    return Text.parse(message.text)


def deliver_due(now: datetime | None = None) -> DeliveryResult:
    """Send the messages that are due. Any number of processes may do so at the same time."""
    counts = {"sent": 0, "failed": 0, "given_up": 0, "cancelled": 0}
    for message in _reserve_due(now or database_now()):
        counts[_deliver(message, now)] += 1
    result = DeliveryResult(**counts)
    if result.failed or result.given_up:
        log.warning("messages to customers not delivered", failed=result.failed, given_up=result.given_up)
    return result


def _reserve_due(now: datetime) -> list[CustomerMessage]:
    """Reserve rows that are due, by a conditional update: of two calls that select a row, one gets it."""
    call = uuid4().hex
    due = CustomerMessage.objects.filter(state=State.QUEUED, next_attempt_at__lte=now)
    keys = list(due.order_by("next_attempt_at", "pk").values_list("pk", flat=True)[:MESSAGES_PER_CALL])
    if not keys or not due.filter(pk__in=keys).update(
        reserved_by=call, next_attempt_at=now + RESERVATION, attempts=F("attempts") + 1
    ):
        return []
    reserved = CustomerMessage.objects.filter(reserved_by=call).select_related("request", "contact")
    return list(reserved.order_by("pk"))


def _deliver(message: CustomerMessage, now: datetime | None) -> str:
    """Send one message; what became of it."""
    if message.contact is None:  # it was erased meanwhile
        _finish(message, State.BY_HAND, now)
        return "cancelled"
    code: VerificationCode | None = None
    try:
        text = read_text(message)
        if message.kind == Kind.CODE:
            code, digits = codes.issue(message.request.reference, message.contact, now)
            text = text.filled(digits)
        elif message.kind in SECRETS:
            text = text.filled(SECRETS[message.kind](message))
        _send(message, message.contact, text)
    except NotPossible:  # verified or ended meanwhile, or too many codes were sent; or the export has ended
        _finish(message, State.CANCELLED, now)
        return "cancelled"
    except (DeliveryFailed, Unreadable, SubjectKeyError) as error:
        if code is not None:
            codes.take_back(code)
        return _reschedule(message, str(error), now)
    _finish(message, State.SENT, now)
    return "sent"


def _send(message: CustomerMessage, contact: Contact, text: Text) -> None:
    """Raises DeliveryFailed."""
    reference = message.request.reference
    id_ = f"{reference}.{message.kind}.{message.number}"
    address = contact.address
    WAYS[contact.kind].send(Outgoing(id_, reference, message.kind, message.language, address, text.subject, text.body))


def _reschedule(message: CustomerMessage, error: str, now: datetime | None) -> str:
    at = now or database_now()
    if at >= message.created_at + GIVE_UP_AFTER:
        _finish(message, State.FAILED, now, error)
        return "given_up"
    longest = min(FIRST_DELAY * 2.0 ** min(message.attempts - 1, 20), LONGEST_DELAY)
    CustomerMessage.objects.filter(pk=message.pk).update(
        reserved_by="", last_error=error[:300], next_attempt_at=at + longest * random.uniform(0.5, 1)
    )
    return "failed"


def _finish(
    message: CustomerMessage, state: str, now: datetime | None, error: str = "", actor: Actor = SYSTEM, reason: str = ""
) -> None:
    """Record what became of a message, in its row and in the request's timeline."""
    with change_of(message.request.reference, now) as change:
        request = change.request
        sent_at = change.at if state == State.SENT else None
        CustomerMessage.objects.filter(pk=message.pk).update(
            state=state, sent_at=sent_at, reserved_by="", last_error=error[:300]
        )
        if sent_at and message.kind in (Kind.ACKNOWLEDGEMENT, Kind.CODE) and request.acknowledged_at is None:
            request.acknowledged_at = sent_at
        request.changed_at = change.at
        via = message.contact.kind if message.contact else ""
        append_event(request, f"message_{state}", actor, reason, {"message": message.kind, "via": via, "error": error})


def mark_sent_by_hand(message: CustomerMessage, actor: Actor, reason: str, now: datetime | None = None) -> None:
    """Record that staff sent a message by hand, and how. Raises RequestError."""
    how = required(reason, "how it was sent")
    _still(message, State.BY_HAND, State.FAILED)
    CustomerMessage.objects.filter(pk=message.pk).update(contact=None)
    message.contact = None
    _finish(message, State.SENT, now, actor=actor, reason=how)


def send_again(message: CustomerMessage, now: datetime | None = None) -> None:
    """Queue a message again that could not be delivered, or had no contact. Raises RequestError."""
    with transaction.atomic():
        SubjectRequest.objects.select_for_update().get(pk=message.request_id)  # link and passphrase one after the other
        _still(message, State.BY_HAND, State.FAILED)
        contact = contact_for(message.request, message.kind, message.number)
        if contact is None:
            apart = ", by another way than link or passphrase take" if message.kind in APART else ""
            raise NotPossible(f"The customer has no contact on record that it can be sent to{apart}: send it by hand.")
        at = now or database_now()
        CustomerMessage.objects.filter(pk=message.pk, state=message.state).update(
            contact=contact, state=State.QUEUED, created_at=at, next_attempt_at=at, attempts=0, last_error=""
        )


def _still(message: CustomerMessage, *states: str) -> None:
    message.refresh_from_db()
    if message.state not in states:
        raise NotPossible(f"The message is {message.get_state_display().lower()}.")
