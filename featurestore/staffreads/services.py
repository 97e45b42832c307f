"""Reads by staff, and the begin of emergency accesses.

A read is recorded before it is made: its entry in the audit log is committed first, with the emergency access if one
begins. So none is without an entry, and one that failed has one, too. A look at somebody who is not registered, or was
erased, is recorded without a subject: nothing about an erased customer is stored again.
"""

import uuid
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from django.contrib.auth.models import User
from django.db import transaction
from prometheus_client import Counter

from featurestore.accesslog.writer import access_log_writer
from featurestore.auditlog.entries import Entry
from featurestore.auditlog.services import append
from featurestore.clock import database_now, milliseconds
from featurestore.config import settings
from featurestore.customers.models import Customer
from featurestore.customers.selectors import held_subjects, pseudonym, stored_subject
from featurestore.installed_catalog import catalog
from featurestore.serving.answer import Answer
from featurestore.serving.reader import FeatureReader
from featurestore.staffreads.errors import (
    NoAnswer,
    NoReason,
    NotAllowed,
    TooManyEmergencies,
    UnknownCustomer,
    UnknownQuestion,
)
from featurestore.staffreads.models import EmergencyAccess
from featurestore.staffreads.selectors import DAY, begun_since, in_force, questions
from featurestore.store import configured
from featurestore.store.protocol import StoreUnavailable

EMERGENCY = timedelta(minutes=30)
MOST_A_DAY = 10
FEWEST_CHARACTERS = 10
BEGUN = Counter("rapport_emergency_accesses_begun", "Emergency accesses to a customer's values that began.")
log = structlog.get_logger(__name__)


class Question(NamedTuple):
    """What a chat engine would ask about a customer."""

    customer_id: str
    service: str
    purpose: str


class StaffReader(NamedTuple):
    """Client of a read by staff. Who it was stands in the audit log, and in no access record."""

    client: str = "(staff)"  # no API client can have this name
    key_id: str = ""


def look(question: Question, staff: str, *, may_view: bool, reason: str = "", now: datetime | None = None) -> Answer:
    """What a chat engine would be answered now. Raises StaffReadError.

    ``may_view``: the staff member may view the values of every customer. Who may not needs an emergency access to this
    one, which begins with a ``reason``.
    """
    if question.purpose not in questions().get(question.service, ()):
        raise UnknownQuestion(f"No service {question.service} answers for the purpose {question.purpose}. Choose one.")
    at, request_id = now or database_now(), uuid.uuid4().hex
    subject = _registered_subject(question.customer_id)
    with transaction.atomic():
        emergency = None if may_view else _emergency(staff, subject, reason, at)
        details = {
            "emergency": emergency.pk if emergency else None,
            "purpose": question.purpose,
            "request": request_id,
            "service": question.service,
        }
        append(Entry("values.viewed", at, details, staff, subject))
    if not subject:
        raise UnknownCustomer(
            f"No customer is registered under the id {question.customer_id}: a chat engine gets no values. "
            "Check the id; your look is recorded."
        )
    return _read(question, subject, request_id, at)


def _registered_subject(customer_id: str) -> str:
    """The subject of a customer who is registered and not erased, else an empty text."""
    subject = stored_subject(customer_id)
    return subject if Customer.objects.filter(subject=subject, erased_at=None).exists() else ""


def _emergency(staff: str, subject: str, reason: str, at: datetime) -> EmergencyAccess:
    """The emergency access in force, or one that begins. Raises StaffReadError."""
    User.objects.select_for_update().filter(username=staff).first()  # of two looks at once one sees the other
    if found := in_force(at).filter(staff=staff, subject=subject).first():
        return found
    why = reason.strip()
    if not why:
        raise NotAllowed("You may not view the values of customers. In an emergency, state why you must.")
    if len(why) < FEWEST_CHARACTERS:
        raise NoReason("State the reason so that a privacy officer understands it, such as the incident's number.")
    if begun_since(at - DAY).filter(staff=staff).count() >= MOST_A_DAY:
        raise TooManyEmergencies(
            f"You had {MOST_A_DAY} emergency accesses within 24 hours. Ask a privacy officer to look."
        )
    kept = why if subject else ""  # nothing would erase it
    begun = EmergencyAccess.objects.create(
        staff=staff, subject=subject, reason=kept, began_at=at, ends_at=at + EMERGENCY
    )
    details = {"emergency": begun.pk, "reason": kept, "until_ms": milliseconds(begun.ends_at)}
    append(Entry("values.emergency_began", at, details, staff, subject))
    transaction.on_commit(BEGUN.inc)
    transaction.on_commit(lambda: log.warning("emergency access began", staff=staff, emergency=begun.pk))
    return begun


def _read(question: Question, subject: str, request_id: str, at: datetime) -> Answer:
    conf, service = settings(), catalog().registry.services[question.service]
    at_ms = milliseconds(at)
    try:
        answers = FeatureReader(configured.store(), conf.partitions).read(
            service, question.purpose, [subject], now_ms=at_ms, timeout_ms=conf.store_timeout_ms
        )
    except StoreUnavailable as error:
        raise NoAnswer(f"The store did not answer: {error}. Chat engines get no values now, either.") from error
    access_log_writer().add_read(
        StaffReader(), question.service, question.purpose, [subject], answers, at_ms, request_id
    )
    return answers[0]


def pseudonymise(keys: list[int]) -> int:
    """Put pseudonyms in place of the subjects of erased customers, and empty the reasons; the number of rows."""
    found = EmergencyAccess.objects.filter(pk__in=keys)
    subjects = set(found.values_list("subject", flat=True))
    present = Customer.objects.filter(subject__in=subjects, erased_at=None)
    erased = subjects.difference(present.values_list("subject", flat=True))
    return sum(found.filter(subject=one).update(subject=pseudonym(one), reason="") for one in erased)


def prune(now: datetime | None = None) -> int:
    """Delete the emergency accesses that are as old as access records may be, but for what a legal hold keeps."""
    at = now or database_now()
    before, held = at - timedelta(days=settings().access_record_days), held_subjects("emergency_accesses", at)
    deleted, _by_model = EmergencyAccess.objects.filter(began_at__lt=before).exclude(subject__in=held).delete()
    return deleted
