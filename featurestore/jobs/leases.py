"""Jobs that one process at a time should do: a row held by conditional update."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from featurestore.clock import database_now
from featurestore.jobs.models import Lease

NEVER = datetime.fromtimestamp(0, UTC)


class HeldLease:
    """A job in hand. Renew it more often than its seconds pass."""

    def __init__(self, name: str, holder: str, seconds: float, now: datetime | None):
        self.name, self.holder, self.seconds, self.now = name, holder, seconds, now

    def renew(self) -> bool:
        """False where it was too late and the job is perhaps another's now."""
        until = (self.now or database_now()) + timedelta(seconds=self.seconds)
        return bool(Lease.objects.filter(name=self.name, holder=self.holder).update(until=until))


@contextmanager
def hold_lease(name: str, seconds: float, now: datetime | None = None) -> Iterator[HeldLease | None]:
    """The job, or None where another process has it. A holder that died keeps others out for the seconds given."""
    held = HeldLease(name, uuid4().hex, seconds, now)
    at = now or database_now()
    Lease.objects.get_or_create(name=name, defaults={"holder": "", "until": NEVER})
    free = Lease.objects.filter(name=name, until__lte=at)
    mine = bool(free.update(holder=held.holder, until=at + timedelta(seconds=seconds)))
    try:
        yield held if mine else None
    finally:
        Lease.objects.filter(name=name, holder=held.holder).update(until=NEVER)
