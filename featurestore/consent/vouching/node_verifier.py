"""The voucher of one node: it says, twice a second, that the node's run holds the database's permissions.

Readers deny without its word, which lasts two seconds. Before each word it puts every change of the node's subjects
that is not in the store yet; for a run that it does not know (restarted, promoted, emptied, of other slots) it first
waits until nobody can hold a word for another run of the same slots any more, and puts what that run may lack. The
store compares the run with every claim and word, so a fail-over between two calls is refused there.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, transaction

from featurestore.clock import database_now
from featurestore.consent.change_sequence import load_change_sequence
from featurestore.consent.models import ChangeSequence, PermissionChange, SubjectVersion
from featurestore.consent.outbox.publication import permissions_of
from featurestore.jobs.batches import BATCH_SIZE, batches
from featurestore.store.protocol import NEW_INCARNATION_EPOCH, Node, Run, StoreUnavailable
from featurestore.store.slots import overlap

log = structlog.get_logger(__name__)

DATABASE_GRACE_S = 30
PROGRESS_EVERY = 50_000


class VerifierState(StrEnum):
    """What the voucher is doing; logged when it changes."""

    VOUCHING = "vouching"
    WAITING = "waiting until the word for another run has expired"
    PUBLISHING = "putting permissions into a new run"
    STORE_AWAY = "store unavailable"
    STORE_CHANGED = "the run changed meanwhile"
    STORE_AHEAD = "store is ahead of the database: was it restored? Run manage.py raise_epoch. Reads are denied"
    DATABASE_AWAY = "database unavailable, vouching for the known run"
    DATABASE_LOST = "database unavailable for too long. Reads are denied"


class NodeVerifier:
    """Call ``step`` twice a second. ``clock`` counts seconds; ``stopping`` ends a long filling early.

    ``words`` is shared by a process's vouchers: when each run was last vouched for; None: by a process before this one,
    which may have died just now.
    """

    def __init__(
        self,
        node: Node,
        expiry_ms: int,
        clock: Callable[[], float] = time.monotonic,
        stopping: Callable[[], bool] = lambda: False,
        words: dict[Run | None, float] | None = None,
    ):
        self.node, self.expiry_ms, self.clock, self.stopping = node, expiry_ms, clock, stopping
        self.log = log.bind(node=node.name) if node.name else log
        self.state: VerifierState | None = None
        self._words: dict[Run | None, float] = {None: clock()} if words is None else words
        self._filled: tuple[Run, int, int] | None = None  # how far a filling came that was interrupted
        self._epoch, self._database_at = 0, clock()
        self._settled: Run | None = None  # the run that holds all that is known to be committed

    def step(self) -> VerifierState:
        state = self._step()
        if state is not self.state:
            level = self.log.info if state in (VerifierState.VOUCHING, VerifierState.PUBLISHING) else self.log.warning
            level("store verifier", state=state.value)
            self.state = state
        return state

    def _step(self) -> VerifierState:
        try:
            close_old_connections()
            change_sequence = load_change_sequence()
            self._epoch, self._database_at = change_sequence.epoch, self.clock()
            return self._vouch(change_sequence)
        except StoreUnavailable:
            return VerifierState.STORE_AWAY
        except (DatabaseError, InterfaceError):
            return self._vouch_without_database()

    def _vouch(self, change_sequence: ChangeSequence) -> VerifierState:
        run, claim = self.node.run(), self.node.read_claim()
        if claim and claim[1:] > (change_sequence.epoch, change_sequence.sequence):
            change_sequence = load_change_sequence()  # or another voucher moved it since
            if claim[1:] > (change_sequence.epoch, change_sequence.sequence):
                return VerifierState.STORE_AHEAD
        if (
            claim is None
            or claim[:2] != (run, change_sequence.epoch)
            or name(run) not in change_sequence.vouched_runs.split()
        ):
            return self._fill(run, claim, change_sequence)
        put = self._put_pending()
        if not self._say(run):
            return VerifierState.STORE_CHANGED
        in_effect(put)
        settled = self.settled_to()
        if settled > claim[2]:
            self.node.write_claim(run, change_sequence.epoch, settled)
        return VerifierState.VOUCHING

    def _fill(self, run: Run, claim: tuple[Run, int, int] | None, change_sequence: ChangeSequence) -> VerifierState:
        """Put what a new run may lack: what changed since its claim, or everything; then vouch for it."""
        words = list(self._words.items())  # other threads add to it
        others = [at for other, at in words if other is None or (other != run and overlap(other.slots, run.slots))]
        if self.clock() < max(others) + self.expiry_ms / 1000:
            return VerifierState.WAITING
        mark, epoch = (run, NEW_INCARNATION_EPOCH, 0), change_sequence.epoch
        if claim == mark and self._filled and self._filled[:2] == (run, epoch):
            start = self._filled[2]
        else:
            start = claim[2] if claim and claim[1] == epoch and self._continues(claim[0], change_sequence) else 0
            if not self.node.write_claim(*mark):
                return VerifierState.STORE_CHANGED
            self.log.info("filling a run", after=start, epoch=epoch)
        reached = self._put_after(run, start, epoch)
        if reached is None:
            return VerifierState.PUBLISHING
        # A store emptied meanwhile has lost the mark; a database restored meanwhile has another epoch.
        if self.node.read_claim() != mark or load_change_sequence().epoch != epoch:
            return VerifierState.STORE_CHANGED
        # An old master may come back as the run it was, without what was put elsewhere: only the last run is known.
        remember(run)
        if not (self.node.write_claim(run, epoch, reached) and self._say(run)):
            return VerifierState.STORE_CHANGED
        self._filled = None
        in_effect(sequence for batch in self._pending(reached) for _, sequence in batch)
        return VerifierState.VOUCHING

    @staticmethod
    def _continues(run: Run, change_sequence: ChangeSequence) -> bool:
        """Whether data with this run's claim lacks only what changed since. In a cluster slots may have gone and come
        meanwhile, with the data of a primary that nobody vouched for, unless the run was vouched for last."""
        return not run.slots or name(run) in change_sequence.vouched_runs.split()

    def _put_after(self, run: Run, sequence: int, epoch: int) -> int | None:
        """Put every permission that changed after a sequence, until none is left; the last one's sequence."""
        count = 0
        while not self.stopping():
            versions = SubjectVersion.objects.filter(sequence__gt=sequence).order_by("sequence")
            batch = list(versions.values_list("subject", "sequence")[:BATCH_SIZE])
            if not batch:
                self.log.info("run filled", subjects=count, sequence=sequence)
                return sequence
            owned = [subject for subject, _ in batch if self.node.owns(subject)]
            self.node.publish_permissions(permissions_of(owned))
            sequence = batch[-1][1]
            self._filled = run, epoch, sequence
            count += len(owned)
            if count % PROGRESS_EVERY < len(owned):
                self.log.info("filling a run", subjects=count, sequence=sequence)
        return None

    def _put_pending(self) -> list[int]:
        """Put the changes that nobody has put yet; their sequences."""
        put: list[int] = []
        for batch in self._pending():
            self._settled = None
            self.node.publish_permissions(permissions_of({subject for subject, _ in batch}))
            put += [sequence for _, sequence in batch]
        return put

    def _pending(self, last: int | None = None) -> Iterator[list[tuple[str, int]]]:
        """Subject and sequence of the node's changes that nobody has put, in order, up to a last one."""
        waiting = PermissionChange.objects.filter(published_at=None).order_by("sequence")
        if last is not None:
            waiting = waiting.filter(sequence__lte=last)
        after = 0
        while batch := list(waiting.filter(sequence__gt=after).values_list("subject", "sequence")[:BATCH_SIZE]):
            after = batch[-1][1]
            if owned := [(subject, sequence) for subject, sequence in batch if self.node.owns(subject)]:
                yield owned

    def settled_to(self) -> int:
        """The largest sequence such that every change of the node's subjects up to it is in the store.

        The change sequence is read first: what it numbers has committed, and is seen by the second read.
        """
        last = load_change_sequence().sequence
        return next((batch[0][1] - 1 for batch in self._pending(last)), last)

    def _say(self, run: Run) -> bool:
        try:
            said = self.node.vouch(run, self.expiry_ms)
        finally:  # a word whose answer was lost may have been given
            self._words[run] = self.clock()
        self._settled = run if said else None
        return said

    def _vouch_without_database(self) -> VerifierState:
        """The store holds all that was committed; a while longer, since nothing commits while the database is away."""
        if self.clock() - self._database_at > DATABASE_GRACE_S:
            return VerifierState.DATABASE_LOST
        try:
            run, claim = self.node.run(), self.node.read_claim()
            if run == self._settled and claim and claim[:2] == (run, self._epoch) and self._say(run):
                return VerifierState.DATABASE_AWAY
        except StoreUnavailable:
            return VerifierState.STORE_AWAY
        return VerifierState.DATABASE_LOST


def name(run: Run) -> str:
    return "/".join(run)


def remember(run: Run) -> None:
    """Of all runs of these slots, this one was vouched for last."""
    with transaction.atomic():
        change_sequence = ChangeSequence.objects.select_for_update().get(pk=1)
        others = [
            other for other in change_sequence.vouched_runs.split() if not overlap(other.rpartition("/")[2], run.slots)
        ]
        change_sequence.vouched_runs = "\n".join([*others, name(run)])
        change_sequence.save(update_fields=["vouched_runs"])


def in_effect(sequences: Iterable[int]) -> None:
    """Changes took effect with the word just given."""
    for batch in batches(list(sequences)):
        changes = PermissionChange.objects.filter(published_at=None, sequence__in=batch)
        changes.update(published_at=database_now(), last_error="")
