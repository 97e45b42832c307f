"""Erasure of customers' permissions: from then on nothing of them is counted or answered, and they can't decide."""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.consent.change_sequence import lock_change_sequence
from featurestore.consent.models import PENDING, ConsentRecord, CurrentPermission, PermissionChange, SubjectVersion
from featurestore.consent.outbox.publication import publish
from featurestore.consent.services.fences import record_erasure
from featurestore.customers.models import Customer
from featurestore.customers.selectors import erased_rows, pseudonym
from featurestore.store import configured


def erase_permissions(customers: Collection[int], now: datetime | None = None) -> int:
    """Mark customers as erased and delete their permissions; publish the denial. Returns how many rows it changed.

    The streams delete their state at the purge, which the relay sends once the denial is in effect. Must not be called
    within a transaction.
    """
    with transaction.atomic(durable=True):
        change_sequence = lock_change_sequence(now)  # no decision is recorded meanwhile
        present = Customer.objects.filter(pk__in=customers, erased_at=None)
        subjects = list(present.values_list("subject", flat=True))
        if subjects:
            present.update(erased_at=change_sequence.at)
            record_erasure(change_sequence, subjects)
        deleted, _ = CurrentPermission.objects.filter(customer__in=customers).delete()
    publish(subjects, now)
    return len(subjects) + deleted


def redact_records(keys: Collection[int]) -> int:
    """Empty the free text and the request keys of consent records of erased customers; the number of records.

    It is the one change of a record that the database allows (migration 0010).
    """
    rows: QuerySet[ConsentRecord] = QuerySet(ConsentRecord).filter(pk__in=keys, customer__erased_at__isnull=False)
    return rows.update(reason="", idempotency_key="", request_digest="")


def pseudonymise_changes(keys: Collection[int]) -> int:
    """Put pseudonyms in place of the subjects of outbox rows that nothing reads by subject any more: of erased
    customers, in effect, sent and journaled. The number of rows.
    """
    settled = PermissionChange.objects.exclude(PENDING).filter(pk__in=keys)
    if settings().journal_topic:
        settled = settled.exclude(journaled_at=None)
    subjects = set(settled.values_list("subject", flat=True))
    subjects -= _present(subjects)
    return sum(settled.filter(subject=one).update(subject=pseudonym(one)) for one in subjects)


def forget_subjects(subjects: Collection[str], now: datetime | None = None) -> int:
    """Delete the versioned denials of subjects that were erased so long ago that nothing older is restored any more:
    neither a database, which learns of erasures from the journal, nor a store. The number of subjects.

    Raises StoreUnavailable.
    """
    before = (now or database_now()) - timedelta(days=settings().journal_retention_days)
    forgotten = []
    for subject in set(subjects) - _present(subjects):
        with transaction.atomic():
            lock_change_sequence(now)  # nothing gives it another version meanwhile
            waiting = PermissionChange.objects.filter(PENDING, subject=subject)
            if _erased_before(subject, before) and not waiting.exists():
                SubjectVersion.objects.filter(subject=subject).delete()
                forgotten.append(subject)
    if forgotten:
        configured.store().erase(forgotten)
    return len(forgotten)


def _present(subjects: Collection[str]) -> set[str]:
    """The subjects of customers who are not erased."""
    return set(Customer.objects.filter(subject__in=subjects, erased_at=None).values_list("subject", flat=True))


def _erased_before(subject: str, before: datetime) -> bool:
    """Whether all that the database knows of a subject is an erasure before a time."""
    rows = [*Customer.objects.filter(subject=subject), *erased_rows(subject)]
    changes = PermissionChange.objects.filter(subject=subject, created_at__gte=before)
    return all(row.erased_at and row.erased_at <= before for row in rows) and not changes.exists()
