"""Data locations of subject requests, their timelines, contacts and codes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet

from featurestore.locations import (
    AT_ONCE,
    ErasePage,
    Impersonal,
    Item,
    Kind,
    LocationUnavailable,
    Page,
    Person,
    Proof,
    Storage,
    registry,
)
from featurestore.requests.models import (
    ClockPause,
    Contact,
    CustomerMessage,
    RequestEvent,
    SubjectRequest,
    VerificationCode,
)
from featurestore.requests.services.erasure import empty_requests
from featurestore.row_locations import RowLocation, reached_database
from featurestore.subjectkeys.errors import KeyStoreUnavailable
from featurestore.subjectkeys.fields import shown_text
from featurestore.subjectkeys.key_store import key_store


class ContactLocation(RowLocation):
    """Contacts on record."""

    name, title, category = "contacts", "Contacts on record", "contact"
    model = Contact
    erased_after = ("subject_requests",)  # whose answer is sent there

    def rows(self, person: Person) -> QuerySet[Contact]:
        found = Contact.objects.filter(subject__in=person.subjects)
        return found if person.whole else found.none()

    def item(self, row: Contact) -> Item:
        data = {"kind": row.kind, "address": shown_text(row, "address")}
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
            "details": shown_text(row, "details"),
            "answer": shown_text(row, "answer"),
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
        data = {"reference": row.request.reference, "kind": row.kind, "text": shown_text(row, "text")}
        return Item(self.category, "our own record", row.created_at, data)


@contextmanager
def reached_keys() -> Iterator[None]:
    """Errors of a key store that does not answer as LocationUnavailable."""
    try:
        yield
    except KeyStoreUnavailable as error:
        raise LocationUnavailable(f"the key store does not answer: {error}. Is it running?") from error


class SubjectKeyLocation:
    """Keys by which the texts of a subject are encrypted. One goes when nothing is left that it encrypts.

    What backups of the database have of these texts can't be read from then on: no such backup has the keys.
    """

    name, title, category = "subject_keys", "Keys of subjects", "key"
    personal_data = "A subject (pseudonym), and the key of its encrypted texts, itself encrypted."
    erased_by = "Deleted when no contact and no request of the subject is left."
    stored_in = (Storage(Kind.FILE, "*keys.sqlite3*"),)
    derived_from: tuple[str, ...] = ()
    erased_after = ("contacts", "subject_requests", "customer_messages")

    def gone_within(self) -> timedelta:
        return AT_ONCE

    def export(self, person: Person, after: str | None, limit: int) -> Page:
        return Page([], None)

    def erase(self, person: Person, after: str | None, limit: int) -> ErasePage:
        if not person.whole:
            return ErasePage(0, 0, None)
        with reached_database():
            kept = set(Contact.objects.filter(subject__in=person.subjects).values_list("subject", flat=True))
            kept |= set(SubjectRequest.objects.filter(subject__in=person.subjects).values_list("subject", flat=True))
        with reached_keys():
            erased = key_store().erase([one for one in person.subjects if one and one not in kept])
            return ErasePage(erased, key_store().count(kept), None)

    def pause(self, person: Person, actor: str, reason: str) -> int:
        return 0

    def prove(self, person: Person, after: str | None, limit: int) -> Proof:
        subjects = [one for one in person.subjects if one] if person.whole else []
        with reached_keys():
            return Proof(key_store().count(subjects), len(subjects), 0, None)


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
    SubjectKeyLocation(),
    impersonal=[Impersonal(Storage(Kind.FILE, "*/var/mail/*"), DEVELOPMENT_MAIL)],
)
