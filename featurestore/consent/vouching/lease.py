"""Verifier lease: the right of one store verifier at a time to vouch. It is the row of VerifierLease.

The holder renews it while it reaches the database and a node of the store. Every claim and vouch key carries the
lease's number, and the store refuses an earlier lease than the claim's. So a successor that has written its claim for a
store run has *fenced* it: no earlier holder can vouch for that run any more. What remains is a run that an earlier
holder reaches and the successor does not: a primary behind a partition, after a fail-over. A holder without the
database vouches for DATABASE_GRACE_S at most, for runs that the row names only. So the successor waits for that long
before it vouches for a run in place of one that it did not fence.

A successor takes over at once if the holder released the lease, which a process does when it ends in order. Otherwise
it waits until the holder has not renewed it for as long as a vouch key lives, and then until no node has a vouch key of
the holder and every run vouched for last is reached, or until the holder has stopped by itself.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

import structlog
from django.db import transaction
from django.db.models import QuerySet

from featurestore.clock import database_now
from featurestore.consent.models import VerifierLease
from featurestore.store.protocol import LeaseFence, Node, Run, StoreClaim, StoreUnavailable
from featurestore.store.slots import overlap

log = structlog.get_logger(__name__)

DATABASE_GRACE_S = 30
RENEWAL_S = 0.25


class HeldLease:
    """The lease as one process sees it: held or not. The verifiers of all its nodes share it.

    ``nodes``: the present nodes of the store. ``clock`` counts seconds; ``now`` is the database's time.
    """

    def __init__(
        self,
        nodes: Callable[[], Sequence[Node]],
        expiry_ms: int,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = database_now,
    ):
        self.holder = uuid4().hex
        self.number: int | None = None  # None: not held
        self._nodes, self._expiry_ms, self._clock, self._now = nodes, expiry_ms, clock, now
        self._confirmed_at = self._acquired_at = self._predecessors_until = -float("inf")
        self._fenced_at: dict[Run, float] = {}
        self._vouched_at: dict[Run, float] = {}
        self._last_claims: dict[str, tuple[str, int]] = {}  # by run: its incarnation, its vouch key's renewals
        self._lock = threading.Lock()

    @property
    def expiry_s(self) -> float:
        return self._expiry_ms / 1000

    @property
    def is_held_without_database(self) -> bool:
        """Whether it may be relied on while the database does not answer."""
        return self.number is not None and self._clock() - self._confirmed_at <= DATABASE_GRACE_S

    def fence(self, epoch: int) -> LeaseFence:
        return LeaseFence(epoch, self.number or 0, self.holder)

    def hold(self) -> bool:
        """Renew the lease, or try to take it over; whether it is held. Call it after a node has answered.

        Raises DatabaseError. While another thread is at it, the answer is what was known last.
        """
        if not self._lock.acquire(blocking=False):
            return self.number is not None
        try:
            if self.number is None:
                self._take_over()
            elif self._clock() - self._confirmed_at >= RENEWAL_S:
                self._renew()
            return self.number is not None
        finally:
            self._lock.release()

    def release(self) -> None:
        """Give the lease up, so that a successor takes over at once. No vouch key may be written afterwards."""
        if self.number is not None:
            self._row().update(released=True, last_claims=dict(self._last_claims))
            self.number = None

    def vouched_runs(self) -> set[str]:
        """The runs vouched for last, by this holder or an earlier one."""
        row = VerifierLease.objects.filter(pk=1).first()
        return set(row.vouched_runs.split()) if row else set()

    def record_run(self, claim: StoreClaim) -> bool:
        """Record in the database that this claim's run is the last one vouched for, of those with its slots.

        False if the lease was lost: then the run must not be vouched for. A successor reads all that was recorded.
        """
        with transaction.atomic():
            row, run = self._row().select_for_update().first(), claim.run
            if row is None:
                return False
            others = [other for other in row.vouched_runs.split() if not overlap(_slots_of(other), run.slots)]
            row.vouched_runs = "\n".join([*others, name_of(run)])
            self.remember(claim)
            for gone in self._last_claims.keys() - {*others, name_of(run)}:
                del self._last_claims[gone]
            row.last_claims = dict(self._last_claims)
            row.save(update_fields=["vouched_runs", "last_claims"])
        return True

    def remember(self, claim: StoreClaim) -> None:
        """Note the last claim that a run is known to have had. The next renewal records it in the database."""
        self._last_claims[name_of(claim.run)] = claim.started, claim.renewals

    def continues(self, claim: StoreClaim) -> bool:
        """Whether a stored claim is the last one that its run is known to have had, or a later one.

        If not, the run went back to earlier contents, as a virtual machine that is set back to a snapshot does. What it
        had in the half second before its last holder ended may not be known.
        """
        started, renewals = self._last_claims.get(name_of(claim.run), (claim.started, 0))
        return claim.started == started and claim.renewals >= renewals

    def fenced(self, run: Run) -> None:
        """Note that the run's claim is of this lease."""
        self._fenced_at.setdefault(run, self._clock())

    def vouched(self, run: Run) -> None:
        """Note that the run's vouch key may have been written just now."""
        self._vouched_at[run] = self._clock()

    def vouch_limit(self) -> float:
        """The time on the clock at which a vouch key written now must expire: at the latest when a successor that did
        not fence the run ends its waiting."""
        return min(self._clock(), self._confirmed_at + DATABASE_GRACE_S) + self.expiry_s

    def may_replace_others(self, run: Run, vouched_runs: Iterable[str]) -> bool:
        """Whether every vouch key of another run of the same slots has expired, so that no reader trusts two runs."""
        ends = [self._acquired_at + self.expiry_s]
        own = {name_of(other): at for other, at in list(self._fenced_at.items()) + list(self._vouched_at.items())}
        for other in {*vouched_runs, *own} - {name_of(run)}:
            if overlap(_slots_of(other), run.slots):
                ends.append(own[other] + self.expiry_s if other in own else self._predecessors_until)
        return self._clock() >= max(ends)

    def _row(self) -> QuerySet[VerifierLease]:
        return VerifierLease.objects.filter(pk=1, holder=self.holder, number=self.number or 0, released=False)

    def _renew(self) -> None:
        began = self._clock()
        if self._row().update(renewed_at=self._now(), last_claims=dict(self._last_claims)):
            self._confirmed_at = began
        else:
            log.warning("another store verifier has taken the verifier lease over", number=self.number)
            self.number = None

    def _take_over(self) -> None:
        began, now = self._clock(), self._now()
        row, _ = VerifierLease.objects.get_or_create(pk=1, defaults={"renewed_at": now, "predecessors_until": now})
        expiry = timedelta(milliseconds=row.expiry_ms)
        if row.released:
            stopped_at = now + expiry
        else:
            stopped_at = row.renewed_at + timedelta(seconds=DATABASE_GRACE_S) + expiry
            if now < stopped_at and (now <= row.renewed_at + expiry or not self._is_gone(row)):
                return
        until = max(row.predecessors_until, stopped_at)
        unchanged = VerifierLease.objects.filter(
            pk=1, holder=row.holder, number=row.number, renewed_at=row.renewed_at, released=row.released
        )
        if unchanged.update(
            holder=self.holder,
            number=row.number + 1,
            released=False,
            renewed_at=now,
            expiry_ms=self._expiry_ms,
            predecessors_until=until,
        ):
            self._fenced_at, self._vouched_at = {}, {}
            self._last_claims = {name: (started, renewals) for name, (started, renewals) in row.last_claims.items()}
            self._confirmed_at = self._acquired_at = began
            self._predecessors_until = began + (until - now).total_seconds()
            self.number = row.number + 1
            log.info("verifier lease taken", number=self.number, released=row.released)

    def _is_gone(self, row: VerifierLease) -> bool:
        """Whether no node has a vouch key of the holder, and every run vouched for last is reached."""
        runs = set()
        for node in self._nodes():
            try:
                runs.add(name_of(node.run()))
                vouched_under = node.vouching_record().vouched_under
            except StoreUnavailable:
                continue
            if vouched_under and vouched_under.holder == row.holder:
                return False
        return bool(runs) and runs.issuperset(row.vouched_runs.split())


def name_of(run: Run) -> str:
    """The run in the row of VerifierLease."""
    return "/".join(run)


def _slots_of(name: str) -> str:
    return name.rpartition("/")[2]
