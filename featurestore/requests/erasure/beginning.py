"""Beginning of an erasure: suppression, denial and journal, before anything is erased. It can't be undone.

One transaction stores the suppressions, marks the customer, ends the permissions and records the change for the store,
the streams and the journal. Nothing is erased before the journal has acknowledged it: a database that is restored from
an earlier backup then learns from the journal who was erased, and erases them again.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction
from django.db.models import QuerySet

from featurestore.auditlog.entries import Entry
from featurestore.auditlog.services import append
from featurestore.clock import milliseconds
from featurestore.config import settings
from featurestore.consent.change_sequence import lock_change_sequence
from featurestore.consent.change_writer import ChangeWriter
from featurestore.consent.models import ConsentRecord, CurrentPermission, PermissionChange
from featurestore.consent.outbox.publication import publish
from featurestore.consent.permission_derivation import Decision, after_end
from featurestore.consent.services import record_erasure
from featurestore.consent.subject_versions import write_versions
from featurestore.customers.models import Customer
from featurestore.customers.selectors import stored_subject
from featurestore.customers.suppressions import add_suppressions, entry_of
from featurestore.locations import Person
from featurestore.requests.erasure.models import Erasure

log = structlog.get_logger(__name__)


def begin(erasure: Erasure, person: Person, now: datetime | None = None) -> None:
    """Suppress and deny the person, once. Must not be called within a transaction."""
    if erasure.begun_at is None:
        _begin(erasure, person, now)
        erasure.refresh_from_db()
    if _changes(erasure).filter(published_at=None).exists():
        publish(person.subjects, now)


def _begin(erasure: Erasure, person: Person, now: datetime | None) -> None:
    with transaction.atomic(durable=True):
        change_sequence = lock_change_sequence(now)
        locked = Erasure.objects.select_for_update().get(pk=erasure.pk)
        if locked.begun_at is None:
            at = max(change_sequence.at, locked.changed_at)
            if person.whole:
                entries = {stored_subject(one): entry_of(one) for one in person.identifiers}
                add_suppressions(entries.values(), at)
                Customer.objects.filter(pk__in=person.customers, erased_at=None).update(erased_at=at)
                CurrentPermission.objects.filter(customer__in=person.customers).delete()
                texts = {subject: str(entry) for subject, entry in entries.items()}
                versions = record_erasure(change_sequence, person.subjects, texts)
            else:
                _end_purposes(ChangeWriter(change_sequence), person, locked)
                versions = write_versions(change_sequence, person.subjects)
            locked.begun_at, locked.changed_at, locked.changes = at, at, sorted(versions.values())
            locked.save(update_fields=["begun_at", "changed_at", "changes"])
            append(Entry("erasure.begun", at, facts_of(locked), locked.started_by))
            log.info("erasure begun", erasure=locked.pk, whole=person.whole)


def facts_of(erasure: Erasure) -> dict[str, Any]:
    """What the audit log says of an erasure, without whom it is about."""
    reference = erasure.request.reference if erasure.request else None
    return {"erasure": erasure.pk, "request": reference, "purposes": erasure.purposes, "sources": erasure.sources}


def _end_purposes(writer: ChangeWriter, person: Person, erasure: Erasure) -> None:
    """End the grants of the purposes whose data is erased, on whatever lawful basis: what is left must not be used."""
    now_ms = milliseconds(writer.change_sequence.at)
    writer.load_states(Customer.objects.filter(pk__in=person.customers))
    writer.load_newest_decisions()
    reason = f"erasure {erasure}"
    for row in _rows(person.customers, person.purposes or ()):
        after = after_end(writer.states[row.customer_id, row.purpose_id], now_ms)
        method, actor = ConsentRecord.Method.SYSTEM, erasure.started_by
        writer.add_decision(
            row.customer, row.purpose, Decision.WITHDRAWN, after, now_ms, method=method, actor=actor, reason=reason
        )
    writer.write()


def _rows(customers: Iterable[int], purposes: Iterable[str]) -> Iterable[CurrentPermission]:
    rows = CurrentPermission.objects.filter(customer__in=list(customers), purpose__name__in=list(purposes))
    return rows.select_related("customer", "purpose").order_by("pk")


def journal_obstacle(erasure: Erasure) -> str:
    """Why nothing may be erased yet; "": the journal has the erasure, or the installation has no journal."""
    if settings().journal_topic and _changes(erasure).filter(journaled_at=None).exists():
        return "The consent journal has not acknowledged the erasure yet: is Kafka available?"
    return ""


def denial_obstacle(erasure: Erasure) -> str:
    """Why the person may still be served or counted; "": the store and the streams know of the erasure."""
    if _changes(erasure).filter(published_at=None).exists():
        return "The store has not taken the denial yet: is it available and vouched for?"
    if _changes(erasure).filter(purge=True, purge_sent_at=None).exists():
        return "The purge was not sent to the streams yet: is Kafka available?"
    return ""


def _changes(erasure: Erasure) -> QuerySet[PermissionChange]:
    """The erasure's changes. One that is no more was finished: retention keeps the others."""
    return PermissionChange.objects.filter(sequence__in=erasure.changes)
