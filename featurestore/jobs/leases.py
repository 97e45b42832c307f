"""Lease of a job that one process at a time may do: a row of Lease, taken and renewed by conditional updates."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from featurestore.clock import database_now
from featurestore.jobs.models import Lease

RELEASED = datetime.fromtimestamp(0, UTC)


class HeldLease:
    """Lease that this process holds. Renew it before ``duration_s`` has passed."""

    def __init__(self, name: str, holder: str, duration_s: float, now: datetime | None):
        self.name, self.holder, self.duration_s, self.now = name, holder, duration_s, now

    def renew(self) -> bool:
        """Extend the lease; False if another process has taken it meanwhile."""
        until = (self.now or database_now()) + timedelta(seconds=self.duration_s)
        return bool(Lease.objects.filter(name=self.name, holder=self.holder).update(until=until))


@contextmanager
def hold_lease(name: str, duration_s: float, now: datetime | None = None) -> Iterator[HeldLease | None]:
    """Hold the lease within the ``with`` block; None if another process holds it.

    The lease of a process that died is free again after ``duration_s``.
    """
    held = HeldLease(name, uuid4().hex, duration_s, now)
    at = now or database_now()
    Lease.objects.get_or_create(name=name, defaults={"holder": "", "until": RELEASED})
    free = Lease.objects.filter(name=name, until__lte=at)
    taken = bool(free.update(holder=held.holder, until=at + timedelta(seconds=duration_s)))
    try:
        yield held if taken else None
    finally:
        Lease.objects.filter(name=name, holder=held.holder).update(until=RELEASED)
