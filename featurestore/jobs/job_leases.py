"""Job lease: the right to do a job that one process at a time may do.

It is a row of JobLease, taken and renewed by conditional updates.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from featurestore.clock import database_now
from featurestore.jobs.models import JobLease

RELEASED = datetime.fromtimestamp(0, UTC)


class HeldJobLease:
    """Job lease that this process holds. Renew it before ``duration_s`` has passed."""

    def __init__(self, name: str, holder: str, duration_s: float, now: datetime | None):
        self.name, self.holder, self.duration_s, self.now = name, holder, duration_s, now

    def renew(self) -> bool:
        """Extend the lease; False if another process has taken it meanwhile."""
        until = (self.now or database_now()) + timedelta(seconds=self.duration_s)
        return bool(JobLease.objects.filter(name=self.name, holder=self.holder).update(until=until))


@contextmanager
def hold_job_lease(name: str, duration_s: float, now: datetime | None = None) -> Iterator[HeldJobLease | None]:
    """Hold the lease within the ``with`` block; None if another process holds it.

    The lease of a process that died is free again after ``duration_s``.
    """
    held = HeldJobLease(name, uuid4().hex, duration_s, now)
    at = now or database_now()
    JobLease.objects.get_or_create(name=name, defaults={"holder": "", "until": RELEASED})
    free = JobLease.objects.filter(name=name, until__lte=at)
    taken = bool(free.update(holder=held.holder, until=at + timedelta(seconds=duration_s)))
    try:
        yield held if taken else None
    finally:
        JobLease.objects.filter(name=name, holder=held.holder).update(until=RELEASED)
