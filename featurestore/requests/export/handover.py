"""Handover of a package to the customer: link and passphrase, in two messages that never take the same way.

The link goes to the newest contact that this installation can reach. The passphrase goes to a contact of another kind;
where there is none, staff give it by telephone or letter. It is kept until it is handed over, but no longer than the
link could have been used, so that a customer who downloads first can open the package.
"""

from datetime import datetime
from typing import NamedTuple

from django.db import transaction
from django.db.models import QuerySet

from featurestore.backoffice.times import time_text
from featurestore.requests.due_dates import last_day
from featurestore.requests.export.models import DataExport
from featurestore.requests.export.secrets import number_of
from featurestore.requests.models import CustomerMessage
from featurestore.requests.services import messages
from featurestore.requests.services.timeline import Change

Kind, State = CustomerMessage.Kind, CustomerMessage.State
KINDS = (Kind.EXPORT_LINK, Kind.PASSPHRASE)
OPEN = (State.QUEUED, State.BY_HAND, State.FAILED)
"""States of a message that was not handed over yet."""
BY_HAND = {
    Kind.EXPORT_LINK: "Send it by hand: the customer has no contact on record that this installation can reach.",
    Kind.PASSPHRASE: "Give it by telephone or letter, and never by the way that the link takes.",
}


class HandedOver(NamedTuple):
    """One of the two messages, and what became of it. ``by_hand``: staff must hand it over."""

    message: CustomerMessage
    text: str
    by_hand: bool


def queue_messages(export: DataExport) -> None:
    """Queue link and passphrase of a package that was just written, in the same transaction."""
    request = export.request
    change, number = Change(request, export.changed_at), number_of(export)
    last = last_day(request, export.usable_until)
    for kind in KINDS:
        messages.queue(change, kind, number=number, until=last)


def handed_over(export: DataExport) -> list[HandedOver]:
    """The two messages of an export; none before its package is written."""
    return [HandedOver(one, _became_of(one), one.state in (State.BY_HAND, State.FAILED)) for one in _messages(export)]


def _became_of(message: CustomerMessage) -> str:
    way = message.contact.get_kind_display() if message.contact else "by hand"
    match message.state:
        case State.SENT if message.sent_at:
            return f"Sent, {time_text(message.sent_at)}: {way}."
        case State.QUEUED:
            return f"It is sent soon: {way}. {message.last_error}".strip()
        case State.FAILED:
            return f"Not delivered. {message.last_error} {BY_HAND[Kind(message.kind)]}"
        case State.BY_HAND:
            return BY_HAND[Kind(message.kind)]
    return "Not needed any more."


def cancel_messages(export: DataExport, *kinds: str) -> None:
    """Cancel what was not handed over of an export that ends."""
    _messages(export).filter(kind__in=kinds or KINDS, state__in=OPEN).update(state=State.CANCELLED)


def passphrase_is_owed(export: DataExport, at: datetime) -> bool:
    """Whether the customer may have the package and not yet the passphrase."""
    in_time = export.usable_until is not None and at < export.usable_until
    return in_time and _messages(export).filter(kind=Kind.PASSPHRASE, state__in=OPEN).exists()


def forget_passphrases(at: datetime) -> int:
    """Empty the passphrases of ended exports that are handed over, or too late for; their number."""
    kept = DataExport.objects.exclude(ended_at=None).exclude(encrypted_passphrase="")
    forgotten = 0
    for key in kept.values_list("pk", flat=True)[:500]:
        with transaction.atomic():
            export = kept.select_for_update().filter(pk=key).first()
            if export is not None and not passphrase_is_owed(export, at):
                DataExport.objects.filter(pk=key).update(encrypted_passphrase="")
                cancel_messages(export, Kind.PASSPHRASE)
                forgotten += 1
    return forgotten


def _messages(export: DataExport) -> QuerySet[CustomerMessage]:
    found = CustomerMessage.objects.filter(request=export.request_id, kind__in=KINDS, number=number_of(export))
    return found.select_related("contact").order_by("pk")
