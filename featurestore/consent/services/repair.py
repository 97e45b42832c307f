"""What puts store and database in agreement again when something outside of them went wrong."""

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from featurestore.clock import milliseconds
from featurestore.consent.ledger import lock, take
from featurestore.consent.models import Ledger, PermissionChange, SubjectVersion
from featurestore.consent.outbox.publication import put

SEQUENCE_LEAP = 1_000_000
"""More changes than a backup may have lost: no grant of the lost ones is ever given again."""


def raise_epoch(now: datetime | None = None) -> Ledger:
    """Make this database later than the one it was restored from; the voucher then puts everything again."""
    with transaction.atomic():
        ledger = lock(now)
        ledger.epoch = max(ledger.epoch + 1, milliseconds(ledger.at) // 1000)
        ledger.sequence += SEQUENCE_LEAP
        ledger.save(update_fields=["epoch", "sequence", "at"])
    return ledger


def reissue(subjects: Collection[str], now: datetime | None = None) -> set[str]:
    """Give subjects a new version of the same permission, and put it; those returned are in effect.

    For a subject that the database does not know this is a versioned denial. The streams are told as well.
    """
    with transaction.atomic(durable=True):
        ledger = lock(now)
        versions = {subject: take(ledger) for subject in sorted(subjects)}
        SubjectVersion.objects.bulk_create(
            [SubjectVersion(subject=subject, sequence=sequence) for subject, sequence in versions.items()],
            update_conflicts=True,
            unique_fields=["subject"],
            update_fields=["sequence"],
        )
        PermissionChange.objects.bulk_create(
            PermissionChange(
                sequence=sequence, subject=subject, purge=True, created_at=ledger.at, next_attempt_at=ledger.at
            )
            for subject, sequence in versions.items()
        )
        ledger.save(update_fields=["sequence", "at"])
    return put(versions.keys(), now)
