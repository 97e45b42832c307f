"""Change sequence: the one row that gives every permission change its number and its time.

A transaction locks it before it reads anything else. So changes happen one after the other, and their numbers are in
the order of their commits.
"""

from datetime import datetime

from featurestore.clock import database_now, milliseconds
from featurestore.consent.models import ChangeSequence


def load_change_sequence() -> ChangeSequence:
    """The change sequence, unlocked. A new database's epoch is the time in seconds: above any that it replaces."""
    found = ChangeSequence.objects.filter(pk=1).first()
    if found:
        return found
    now = database_now()
    return ChangeSequence.objects.get_or_create(pk=1, defaults={"epoch": milliseconds(now) // 1000, "at": now})[0]


def lock_change_sequence(now: datetime | None = None) -> ChangeSequence:
    """The change sequence, locked until the transaction ends. Its time is now, or unchanged if the clock went back.

    ``now``: tests give it in place of the database's clock.
    """
    change_sequence = ChangeSequence.objects.select_for_update().filter(pk=1).first()
    if change_sequence is None:
        load_change_sequence()
        change_sequence = ChangeSequence.objects.select_for_update().get(pk=1)
    change_sequence.at = max(change_sequence.at, now or database_now())
    return change_sequence


def take_number(change_sequence: ChangeSequence) -> int:
    """Count one up and return the number. The caller saves the row before it commits."""
    change_sequence.sequence += 1
    return change_sequence.sequence
