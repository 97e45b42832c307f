"""The numbers and the time of changes. Lock it first in a transaction: changes then happen one after the other."""

from datetime import datetime

from featurestore.clock import database_now, milliseconds
from featurestore.consent.models import ChangeSequence


def load_change_sequence() -> ChangeSequence:
    """The change sequence, unlocked. A new database starts with the time as its epoch, so it is later than any it replaces."""
    found = ChangeSequence.objects.filter(pk=1).first()
    if found:
        return found
    now = database_now()
    return ChangeSequence.objects.get_or_create(pk=1, defaults={"epoch": milliseconds(now) // 1000, "at": now})[0]


def lock_change_sequence(now: datetime | None = None) -> ChangeSequence:
    """The change sequence, locked until the transaction ends, its time moved to now (or left, where the clock went back).

    ``now`` stands for the database's clock in tests.
    """
    change_sequence = ChangeSequence.objects.select_for_update().filter(pk=1).first()
    if change_sequence is None:
        load_change_sequence()
        change_sequence = ChangeSequence.objects.select_for_update().get(pk=1)
    change_sequence.at = max(change_sequence.at, now or database_now())
    return change_sequence


def take_number(change_sequence: ChangeSequence) -> int:
    """The next number. The caller saves the change sequence before it commits."""
    change_sequence.sequence += 1
    return change_sequence.sequence
