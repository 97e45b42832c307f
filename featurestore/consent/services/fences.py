"""Fences raised, so that the store takes the database's permissions again: on a take-over or an audit's finding.

A fence is (epoch, sequence): the epoch is the database's, the sequence a subject's version.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from django.db import transaction

from featurestore.clock import milliseconds
from featurestore.consent.change_sequence import lock_change_sequence
from featurestore.consent.models import ChangeSequence, KeptDenial, PermissionChange
from featurestore.consent.outbox.publication import publish
from featurestore.consent.subject_versions import write_versions
from featurestore.consent.vouching.latch import clear_latch

SEQUENCE_LEAP = 1_000_000
"""More changes than a restore may have lost, so that no lost grant id is used again."""


def raise_epoch(now: datetime | None = None, above: tuple[int, int] = (0, 0)) -> ChangeSequence:
    """Raise the database epoch above the lost database's. The store verifier then publishes every permission again.

    ``above``: the highest (epoch, sequence) that was found anywhere.
    """
    with transaction.atomic():
        change_sequence = lock_change_sequence(now)
        change_sequence.epoch = max(change_sequence.epoch + 1, above[0] + 1, milliseconds(change_sequence.at) // 1000)
        change_sequence.sequence = max(change_sequence.sequence, above[1]) + SEQUENCE_LEAP
        clear_latch(change_sequence)
        change_sequence.save()
    return change_sequence


def raise_versions(subjects: Collection[str], now: datetime | None = None) -> set[str]:
    """Give subjects a new version of the same permission and publish it; those returned are in effect.

    For a subject without a customer this is a versioned denial. The streams are sent a purge in any case.
    """
    with transaction.atomic(durable=True):
        versions = write_versions(lock_change_sequence(now), subjects)
    return publish(versions.keys(), now)


def record_erasure(
    change_sequence: ChangeSequence, subjects: Collection[str], suppressions: Mapping[str, str] | None = None
) -> dict[str, int]:
    """Record that subjects were erased, for the store, the streams and the journal, in the caller's transaction.

    The caller deletes the current permissions of their customers in the same transaction: what is left is a versioned
    denial. A database that is restored from an earlier backup learns from the journal that they were erased, and by
    ``suppressions`` (an entry, by subject) which identifiers stay suppressed. Returns the versions.
    """
    KeptDenial.objects.filter(subject__in=subjects).delete()
    return write_versions(change_sequence, subjects, PermissionChange.Kind.ERASURE, suppressions or {})
