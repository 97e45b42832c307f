"""Verifier of one store node: vouches, twice a second, that the node's Redis run holds the database's permissions.

Readers deny without the vouch key, which expires after two seconds. Before each renewal the verifier publishes every
change of the node's subjects that is not in the store yet. A run is new to it if it restarted, was promoted or emptied,
or owns other slots. Then the verifier

1. waits until the vouch key of every other run of the same slots has expired, so that no reader trusts two runs;
2. begins a new store incarnation, by a store claim of epoch 0, and publishes what the run may lack: all that changed
   since its earlier claim, or everything;
3. records the run as vouched for in the database, writes a store claim for the last sequence published, and vouches.

The store compares the run with each claim and each vouch, so that a fail-over between two calls is refused there.
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
from featurestore.store.protocol import NEW_INCARNATION_EPOCH, Node, Run, StoreClaim, StoreUnavailable
from featurestore.store.slots import overlap

log = structlog.get_logger(__name__)

DATABASE_GRACE_S = 30
PROGRESS_EVERY = 50_000


class VerifierState(StrEnum):
    """Outcome of a step; logged when it changes."""

    VOUCHING = "vouching"
    WAITING = "waiting until the vouch key of another run has expired"
    PUBLISHING = "publishing permissions to a new run"
    STORE_UNAVAILABLE = "store unavailable"
    STORE_CHANGED = "the run changed meanwhile"
    STORE_AHEAD = "store is ahead of the database: was it restored? Run manage.py raise_epoch. Reads are denied"
    STORE_OUTDATED = "store holds data of a version before 0.2. Empty it with redis-cli FLUSHDB. Reads are denied"
    DATABASE_UNAVAILABLE = "database unavailable, vouching for the known run"
    DATABASE_LOST = "database unavailable for too long. Reads are denied"


class NodeVerifier:
    """Verifier of one node. Call ``step`` twice a second.

    ``clock`` counts seconds. ``stopping`` ends a long publication early. ``vouch_times`` is shared by the verifiers of
    a process: by run, the time at which it was last vouched for; under None, the start of this process, before which
    an earlier process may have vouched for any run.
    """

    def __init__(
        self,
        node: Node,
        expiry_ms: int,
        clock: Callable[[], float] = time.monotonic,
        stopping: Callable[[], bool] = lambda: False,
        vouch_times: dict[Run | None, float] | None = None,
    ):
        self.node, self.expiry_ms, self.clock, self.stopping = node, expiry_ms, clock, stopping
        self.log = log.bind(node=node.name) if node.name else log
        self.state: VerifierState | None = None
        self._vouch_times: dict[Run | None, float] = {None: clock()} if vouch_times is None else vouch_times
        self._interrupted_at: StoreClaim | None = None  # how far an interrupted publication came
        self._epoch, self._database_at = 0, clock()
        self._up_to_date: Run | None = None  # the run that holds all that is known to be committed

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
            return self._verify(change_sequence)
        except StoreUnavailable:
            return VerifierState.STORE_UNAVAILABLE
        except (DatabaseError, InterfaceError):
            return self._vouch_without_database()

    def _verify(self, change_sequence: ChangeSequence) -> VerifierState:
        run, claim = self.node.run(), self.node.read_claim()
        if _is_ahead(claim, change_sequence):
            change_sequence = load_change_sequence()  # or another verifier moved the claim since
            if _is_ahead(claim, change_sequence):
                return VerifierState.STORE_AHEAD
        if (
            claim is None
            or (claim.run, claim.epoch) != (run, change_sequence.epoch)
            or not _was_vouched_for(run, change_sequence)
        ):
            return self._publish_to_new_run(run, claim, change_sequence)
        published = self._publish_changes()
        if not self._vouch(run):
            return VerifierState.STORE_CHANGED
        mark_published(published)
        last = self.published_up_to()
        if last > claim.sequence:
            self.node.write_claim(run, change_sequence.epoch, last)
        return VerifierState.VOUCHING

    def _publish_to_new_run(self, run: Run, claim: StoreClaim | None, change_sequence: ChangeSequence) -> VerifierState:
        """Publish what a new run may lack: what changed since its claim, or everything; then vouch for it."""
        if self.node.is_outdated():
            return VerifierState.STORE_OUTDATED
        vouch_times = list(self._vouch_times.items())  # other threads add to it
        others = [
            at for other, at in vouch_times if other is None or (other != run and overlap(other.slots, run.slots))
        ]
        if self.clock() < max(others) + self.expiry_ms / 1000:
            return VerifierState.WAITING
        epoch, new_incarnation = change_sequence.epoch, StoreClaim(run, NEW_INCARNATION_EPOCH, 0)
        reached = self._interrupted_at
        if claim == new_incarnation and reached and (reached.run, reached.epoch) == (run, epoch):
            start = reached.sequence
        else:
            start = (
                claim.sequence if claim and claim.epoch == epoch and _lacks_only_later(claim, change_sequence) else 0
            )
            if not self.node.write_claim(*new_incarnation):
                return VerifierState.STORE_CHANGED
            self.log.info("publishing permissions to a new run", after=start, epoch=epoch)
        last = self._publish_after(run, start, epoch)
        if last is None:
            return VerifierState.PUBLISHING
        # A store emptied meanwhile has lost the claim; a database restored meanwhile has another database epoch.
        if self.node.read_claim() != new_incarnation or load_change_sequence().epoch != epoch:
            return VerifierState.STORE_CHANGED
        # An old primary may come back as the run it was, without later changes: only the last run is trusted.
        record_vouched_run(run)
        if not (self.node.write_claim(run, epoch, last) and self._vouch(run)):
            return VerifierState.STORE_CHANGED
        self._interrupted_at = None
        mark_published(sequence for batch in self._unpublished(last) for _, sequence in batch)
        return VerifierState.VOUCHING

    def _publish_after(self, run: Run, sequence: int, epoch: int) -> int | None:
        """Publish every permission that changed after a sequence; the last one's sequence, None if stopped early."""
        count = 0
        while not self.stopping():
            versions = SubjectVersion.objects.filter(sequence__gt=sequence).order_by("sequence")
            batch = list(versions.values_list("subject", "sequence")[:BATCH_SIZE])
            if not batch:
                self.log.info("permissions published to a new run", subjects=count, sequence=sequence)
                return sequence
            owned = [subject for subject, _ in batch if self.node.owns(subject)]
            self.node.publish_permissions(permissions_of(owned))
            sequence = batch[-1][1]
            self._interrupted_at = StoreClaim(run, epoch, sequence)
            count += len(owned)
            if count % PROGRESS_EVERY < len(owned):
                self.log.info("publishing permissions to a new run", subjects=count, sequence=sequence)
        return None

    def _publish_changes(self) -> list[int]:
        """Publish the node's unpublished changes; return their sequences."""
        published: list[int] = []
        for batch in self._unpublished():
            self._up_to_date = None
            self.node.publish_permissions(permissions_of({subject for subject, _ in batch}))
            published += [sequence for _, sequence in batch]
        return published

    def _unpublished(self, last: int | None = None) -> Iterator[list[tuple[str, int]]]:
        """Subject and sequence of the node's changes that are not published, in order, up to a last sequence."""
        changes = PermissionChange.objects.filter(published_at=None).order_by("sequence")
        if last is not None:
            changes = changes.filter(sequence__lte=last)
        after = 0
        while batch := list(changes.filter(sequence__gt=after).values_list("subject", "sequence")[:BATCH_SIZE]):
            after = batch[-1][1]
            if owned := [(subject, sequence) for subject, sequence in batch if self.node.owns(subject)]:
                yield owned

    def published_up_to(self) -> int:
        """The largest sequence such that every change of the node's subjects up to it is in the store.

        The change sequence is read first: a change that it numbers has committed, and the second read sees it.
        """
        last = load_change_sequence().sequence
        return next((batch[0][1] - 1 for batch in self._unpublished(last)), last)

    def _vouch(self, run: Run) -> bool:
        try:
            vouched = self.node.vouch(run, self.expiry_ms)
        finally:  # a call whose answer was lost may have set the key
            self._vouch_times[run] = self.clock()
        self._up_to_date = run if vouched else None
        return vouched

    def _vouch_without_database(self) -> VerifierState:
        """Keep vouching for DATABASE_GRACE_S: the run holds all that was committed, and nothing commits meanwhile."""
        if self.clock() - self._database_at > DATABASE_GRACE_S:
            return VerifierState.DATABASE_LOST
        try:
            run, claim = self.node.run(), self.node.read_claim()
            known = run == self._up_to_date and claim and (claim.run, claim.epoch) == (run, self._epoch)
            return VerifierState.DATABASE_UNAVAILABLE if known and self._vouch(run) else VerifierState.DATABASE_LOST
        except StoreUnavailable:
            return VerifierState.STORE_UNAVAILABLE


def _is_ahead(claim: StoreClaim | None, change_sequence: ChangeSequence) -> bool:
    """Whether the store claim is ahead of the database: it names a change that the database never numbered."""
    return claim is not None and (claim.epoch, claim.sequence) > (change_sequence.epoch, change_sequence.sequence)


def _lacks_only_later(claim: StoreClaim, change_sequence: ChangeSequence) -> bool:
    """Whether the store lacks no change up to its claim.

    In a cluster, slots may have moved away and back with the data of a primary that was not vouched for, unless the
    claim's run is the one vouched for last.
    """
    return not claim.run.slots or _was_vouched_for(claim.run, change_sequence)


def _was_vouched_for(run: Run, change_sequence: ChangeSequence) -> bool:
    """Whether the run is the last one vouched for, of those with its slots."""
    return "/".join(run) in change_sequence.vouched_runs.split()


def record_vouched_run(run: Run) -> None:
    """Record in the database that this run is the last one vouched for, of those with its slots."""
    with transaction.atomic():
        change_sequence = ChangeSequence.objects.select_for_update().get(pk=1)
        others = [
            other for other in change_sequence.vouched_runs.split() if not overlap(other.rpartition("/")[2], run.slots)
        ]
        change_sequence.vouched_runs = "\n".join([*others, "/".join(run)])
        change_sequence.save(update_fields=["vouched_runs"])


def mark_published(sequences: Iterable[int]) -> None:
    """Record that changes are in effect: since the last vouch they are in a store that is vouched for."""
    for batch in batches(list(sequences)):
        changes = PermissionChange.objects.filter(published_at=None, sequence__in=batch)
        changes.update(published_at=database_now(), last_error="")
