"""The numbers and the time of changes. Lock it first in a transaction: changes then happen one after the other."""

from datetime import datetime

from featurestore.clock import database_now, milliseconds
from featurestore.consent.models import Ledger


def current() -> Ledger:
    """The ledger, unlocked. A new database starts with the time as its epoch, so it is later than any it replaces."""
    found = Ledger.objects.filter(pk=1).first()
    if found:
        return found
    now = database_now()
    return Ledger.objects.get_or_create(pk=1, defaults={"epoch": milliseconds(now) // 1000, "at": now})[0]


def lock(now: datetime | None = None) -> Ledger:
    """The ledger, locked until the transaction ends, its time moved to now (or left, where the clock went back).

    ``now`` stands for the database's clock in tests.
    """
    ledger = Ledger.objects.select_for_update().filter(pk=1).first()
    if ledger is None:
        current()
        ledger = Ledger.objects.select_for_update().get(pk=1)
    ledger.at = max(ledger.at, now or database_now())
    return ledger


def take(ledger: Ledger) -> int:
    """The next number. The caller saves the ledger before it commits."""
    ledger.sequence += 1
    return ledger.sequence
