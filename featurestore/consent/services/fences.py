"""Fences raised, so that the store takes the database's permissions again: after a restore, or on an audit's finding.

A fence is (epoch, sequence): the epoch is the database's, the sequence a subject's version.
"""

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from featurestore.clock import milliseconds
from featurestore.consent.change_sequence import lock_change_sequence, take_number
from featurestore.consent.models import ChangeSequence, PermissionChange, SubjectVersion
from featurestore.consent.outbox.publication import publish
from featurestore.consent.vouching.latch import clear_latch

SEQUENCE_LEAP = 1_000_000
"""More changes than a restore may have lost, so that no lost grant id is used again."""


def raise_epoch(now: datetime | None = None) -> ChangeSequence:
    """Raise the database epoch above the lost database's. The store verifier then publishes every permission again."""
    with transaction.atomic():
        change_sequence = lock_change_sequence(now)
        change_sequence.epoch = max(change_sequence.epoch + 1, milliseconds(change_sequence.at) // 1000)
        change_sequence.sequence += SEQUENCE_LEAP
        clear_latch(change_sequence)
        change_sequence.save()
    return change_sequence


def raise_versions(subjects: Collection[str], now: datetime | None = None) -> set[str]:
    """Give subjects a new version of the same permission and publish it; those returned are in effect.

    For a subject without a customer this is a versioned denial. The streams are sent a purge in any case.
    """
    with transaction.atomic(durable=True):
        change_sequence = lock_change_sequence(now)
        versions = {subject: take_number(change_sequence) for subject in sorted(subjects)}
        SubjectVersion.objects.bulk_create(
            [SubjectVersion(subject=subject, sequence=sequence) for subject, sequence in versions.items()],
            update_conflicts=True,
            unique_fields=["subject"],
            update_fields=["sequence"],
        )
        PermissionChange.objects.bulk_create(
            PermissionChange(
                sequence=sequence,
                subject=subject,
                purge=True,
                created_at=change_sequence.at,
                next_attempt_at=change_sequence.at,
            )
            for subject, sequence in versions.items()
        )
        change_sequence.save(update_fields=["sequence", "at"])
    return publish(versions.keys(), now)
