"""Data locations of subject requests, their timelines, contacts and codes."""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet

from featurestore.locations import Impersonal, Item, Kind, Person, Storage, registry
from featurestore.requests.contact_box import decrypt
from featurestore.requests.errors import Unreadable
from featurestore.requests.models import (
    ClockPause,
    Contact,
    CustomerMessage,
    RequestEvent,
    SubjectRequest,
    VerificationCode,
)
from featurestore.requests.services.erasure import empty_requests
from featurestore.row_locations import RowLocation

UNREADABLE = "stored under another key, which this process does not have"


def text_in(encrypted: str) -> str:
    """A text to export; where it can't be read, why."""
    try:
        return decrypt(encrypted)
    except Unreadable:
        return UNREADABLE


class ContactLocation(RowLocation):
    """Contacts on record."""

    name, title, category = "contacts", "Contacts on record", "contact"
    model = Contact
    erased_after = ("subject_requests",)  # whose answer is sent there

    def rows(self, person: Person) -> QuerySet[Contact]:
        found = Contact.objects.filter(subject__in=person.subjects)
        return found if person.whole else found.none()

    def item(self, row: Contact) -> Item:
        data = {"kind": row.kind, "address": text_in(row.encrypted_address)}
        return Item(self.category, "the shop", row.recorded_at, data)

    def erase_rows(self, person: Person, keys: Sequence[Any]) -> int:
        """Those to which nothing is to be sent any more."""
        done = Contact.objects.filter(pk__in=keys).exclude(messages__state=CustomerMessage.State.QUEUED)
        return done.delete()[1].get(Contact._meta.label, 0)


class SubjectRequestLocation(RowLocation):
    """Subject requests. One that is not answered is kept until it is, or has ended otherwise."""

    name, title, category = "subject_requests", "Subject requests", "request"
    model = SubjectRequest
    erased_after = ("exports", "permissions")

    def rows(self, person: Person) -> QuerySet[SubjectRequest]:
        found = SubjectRequest.objects.filter(subject__in=person.subjects)
        return found if person.whole else found.none()

    def item(self, row: SubjectRequest) -> Item:
        data = {
            "reference": row.reference,
            "type": row.type,
            "purposes": row.purposes,
            "state": row.state,
            "details": text_in(row.encrypted_details),
            "answer": text_in(row.encrypted_answer),
            "answered_at": row.answered_at.isoformat() if row.answered_at else None,
            "legal_ground": row.ground,
        }
        return Item(self.category, row.channel, row.received_at, data)

    def erase_rows(self, person: Person, keys: Sequence[Any]) -> int:
        return empty_requests(keys)


class RequestPartLocation(RowLocation):
    """Rows of one model that belong to requests: they name nobody once their request is empty."""

    derived_from = ("subject_requests",)
    erased_after = ("subject_requests",)

    def rows(self, person: Person) -> QuerySet[Any]:
        found = self.model._default_manager.filter(request__subject__in=person.subjects)
        return found.select_related("request") if person.whole else found.none()

    def erase_rows(self, person: Person, keys: Sequence[Any]) -> int:
        return 0


class RequestEventLocation(RequestPartLocation):
    """Timelines of requests. Who of the staff did what, and their reasons, are not exported."""

    name, title, category = "request_events", "Timelines of requests", "step of a request"
    model = RequestEvent

    def item(self, row: RequestEvent) -> Item:
        data = {"reference": row.request.reference, "step": row.kind, "state": row.state}
        return Item(self.category, row.role, row.at, data)


class ClockPauseLocation(RequestPartLocation):
    """Times during which a request waited for the customer."""

    name, title, category = "clock_pauses", "Paused clocks of requests", "time in which a request waited for you"
    model = ClockPause

    def item(self, row: ClockPause) -> Item:
        data = {"reference": row.request.reference, "ended_at": row.ended_at.isoformat()}
        return Item(self.category, "our own record", row.began_at, data)


class VerificationCodeLocation(RequestPartLocation):
    """Verification codes."""

    name, title, category = "verification_codes", "Verification codes", "code that was sent to you"
    model = VerificationCode

    def item(self, row: VerificationCode) -> Item:
        data = {"reference": row.request.reference, "expires_at": row.expires_at.isoformat()}
        return Item(self.category, "our own record", row.issued_at, data)

    def erase_rows(self, person: Person, keys: Sequence[Any]) -> int:
        return VerificationCode.objects.filter(pk__in=keys).delete()[0]


class CustomerMessageLocation(RequestPartLocation):
    """Messages to customers: their texts."""

    name, title, category = "customer_messages", "Messages to customers", "message to you"
    model = CustomerMessage

    def item(self, row: CustomerMessage) -> Item:
        data = {"reference": row.request.reference, "kind": row.kind, "text": text_in(row.encrypted_text)}
        return Item(self.category, "our own record", row.created_at, data)


DEVELOPMENT_MAIL = (
    "E-mails of an installation for development that has no mail server: its customers are invented. In production "
    "no e-mail becomes a file."
)
registry.register(
    ContactLocation(),
    SubjectRequestLocation(),
    RequestEventLocation(),
    ClockPauseLocation(),
    VerificationCodeLocation(),
    CustomerMessageLocation(),
    impersonal=[Impersonal(Storage(Kind.FILE, "*/var/mail/*"), DEVELOPMENT_MAIL)],
)
