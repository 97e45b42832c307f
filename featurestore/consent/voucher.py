"""The voucher: one process that says, twice a second, that the store's run holds the database's permissions.

Readers deny without its word, which lasts two seconds. Before each word it puts every change that is not in the store
yet; for a run that it does not know (restarted, promoted, emptied) it first waits until nobody can hold its word for
another run any more, and puts what that run may lack. The store compares the run with every claim and word, so a
fail-over between two calls is refused there.
"""

import time
from collections.abc import Callable
from enum import StrEnum

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections

from featurestore.consent.ledger import current, database_now
from featurestore.consent.models import Ledger, PermissionChange, SubjectVersion
from featurestore.consent.publication import BATCH, permissions_of
from featurestore.online.store import OnlineStore, Run, StoreUnavailable

log = structlog.get_logger(__name__)

UNCLAIMED_EPOCH = 0  # the claim of a run that is being filled: of no database's epoch, and gone when it is emptied
DATABASE_GRACE_S = 30
PROGRESS_EVERY = 50_000


class Condition(StrEnum):
    """What the voucher is doing; logged when it changes."""

    VOUCHING = "vouching"
    WAITING = "waiting until the word for another run has expired"
    FILLING = "putting permissions into a new run"
    STORE_AWAY = "store unavailable"
    STORE_CHANGED = "the run changed meanwhile"
    STORE_AHEAD = "store is ahead of the database: was it restored? Run manage.py raise_epoch. Reads are denied"
    DATABASE_AWAY = "database unavailable, vouching for the known run"
    DATABASE_LOST = "database unavailable for too long. Reads are denied"


class Voucher:
    """Call ``step`` twice a second. ``clock`` counts seconds; ``stopping`` ends a long filling early."""

    def __init__(
        self,
        store: OnlineStore,
        expiry_ms: int,
        clock: Callable[[], float] = time.monotonic,
        stopping: Callable[[], bool] = lambda: False,
    ):
        self.store, self.expiry_ms, self.clock, self.stopping = store, expiry_ms, clock, stopping
        self.condition: Condition | None = None
        self._vouched_at: dict[Run | None, float] = {None: clock()}  # the last voucher may have died just now
        self._filled: tuple[Run, int, int] | None = None  # how far a filling came that was interrupted
        self._epoch, self._database_at = 0, clock()
        self._settled: Run | None = None  # the run that holds all that is known to be committed

    def step(self) -> Condition:
        condition = self._step()
        if condition is not self.condition:
            level = log.info if condition in (Condition.VOUCHING, Condition.FILLING) else log.warning
            level("voucher", condition=condition.value)
            self.condition = condition
        return condition

    def _step(self) -> Condition:
        try:
            close_old_connections()
            ledger = current()
            self._epoch, self._database_at = ledger.epoch, self.clock()
            return self._vouch(ledger)
        except StoreUnavailable:
            return Condition.STORE_AWAY
        except (DatabaseError, InterfaceError):
            return self._vouch_without_database()

    def _vouch(self, ledger: Ledger) -> Condition:
        run, claim = self.store.run(), self.store.claimed()
        if claim and claim[1:] > (ledger.epoch, ledger.sequence):
            ledger = current()  # or another voucher moved it since
            if claim[1:] > (ledger.epoch, ledger.sequence):
                return Condition.STORE_AHEAD
        if claim is None or claim[:2] != (run, ledger.epoch) or ledger.run != name(run):
            return self._fill(run, claim, ledger.epoch)
        put_to = self._put_pending()
        if not self._say(run):
            return Condition.STORE_CHANGED
        if put_to:
            in_effect(put_to)
        settled = settled_to()
        if settled > claim[2]:
            self.store.claim(run, ledger.epoch, settled)
        return Condition.VOUCHING

    def _fill(self, run: Run, claim: tuple[Run, int, int] | None, epoch: int) -> Condition:
        """Put what a new run may lack: what changed since its claim, or everything; then vouch for it."""
        others = [at for other, at in self._vouched_at.items() if other != run]
        if self.clock() < max(others) + self.expiry_ms / 1000:
            return Condition.WAITING
        mark = run, UNCLAIMED_EPOCH, 0
        if claim == mark and self._filled and self._filled[:2] == (run, epoch):
            start = self._filled[2]
        else:
            start = claim[2] if claim and claim[1] == epoch else 0
            if not self.store.claim(*mark):
                return Condition.STORE_CHANGED
            log.info("filling a run", after=start, epoch=epoch)
        reached = self._put_after(run, start, epoch)
        if reached is None:
            return Condition.FILLING
        # A store emptied meanwhile has lost the mark; a database restored meanwhile has another epoch.
        if self.store.claimed() != mark or current().epoch != epoch:
            return Condition.STORE_CHANGED
        # An old master may come back as the run it was, without what was put elsewhere: only the last run is known.
        Ledger.objects.filter(pk=1).update(run=name(run))
        if not (self.store.claim(run, epoch, reached) and self._say(run)):
            return Condition.STORE_CHANGED
        self._filled = None
        in_effect(reached)
        return Condition.VOUCHING

    def _put_after(self, run: Run, sequence: int, epoch: int) -> int | None:
        """Put every permission that changed after a sequence, until none is left; the last one's sequence."""
        count = 0
        while not self.stopping():
            versions = SubjectVersion.objects.filter(sequence__gt=sequence).order_by("sequence")
            batch = list(versions.values_list("subject", "sequence")[:BATCH])
            if not batch:
                log.info("run filled", subjects=count, sequence=sequence)
                return sequence
            self.store.put_permissions(permissions_of([subject for subject, _ in batch]))
            sequence = batch[-1][1]
            self._filled = run, epoch, sequence
            count += len(batch)
            if count % PROGRESS_EVERY < len(batch):
                log.info("filling a run", subjects=count, sequence=sequence)
        return None

    def _put_pending(self) -> int:
        """Put the changes that nobody has put yet; the last one's sequence."""
        sequence = 0
        while True:
            waiting = PermissionChange.objects.filter(put_at=None, sequence__gt=sequence).order_by("sequence")
            batch = list(waiting.values_list("subject", "sequence")[:BATCH])
            if not batch:
                return sequence
            self._settled = None
            self.store.put_permissions(permissions_of({subject for subject, _ in batch}))
            sequence = batch[-1][1]

    def _say(self, run: Run) -> bool:
        try:
            said = self.store.vouch(run, self.expiry_ms)
        finally:  # a word whose answer was lost may have been given
            self._vouched_at[run] = self.clock()
        self._settled = run if said else None
        return said

    def _vouch_without_database(self) -> Condition:
        """The store holds all that was committed; a while longer, since nothing commits while the database is away."""
        if self.clock() - self._database_at > DATABASE_GRACE_S:
            return Condition.DATABASE_LOST
        try:
            run, claim = self.store.run(), self.store.claimed()
            if run == self._settled and claim and claim[:2] == (run, self._epoch) and self._say(run):
                return Condition.DATABASE_AWAY
        except StoreUnavailable:
            return Condition.STORE_AWAY
        return Condition.DATABASE_LOST


def name(run: Run) -> str:
    return "/".join(run)


def in_effect(sequence: int) -> None:
    """Changes up to a sequence took effect with the word just given."""
    PermissionChange.objects.filter(put_at=None, sequence__lte=sequence).update(put_at=database_now(), last_error="")


def settled_to() -> int:
    """The largest sequence such that every change up to it is in the store.

    The ledger is read first: what it numbers has committed, and is seen by the second read.
    """
    last = current().sequence
    first = PermissionChange.objects.filter(put_at=None, sequence__lte=last).order_by("sequence").first()
    return first.sequence - 1 if first else last
