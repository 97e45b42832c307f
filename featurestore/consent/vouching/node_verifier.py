"""Verifier of one store node: vouches, twice a second, that the node's Redis run holds the database's permissions.

Readers deny without the vouch key, which expires after two seconds. Only the holder of the verifier lease vouches
(``lease.py``). Before it renews the key, the verifier looks whether the store or the journal is ahead of the database,
which latches denial (``latch.py``), and publishes every change of the node's subjects that is not in the store yet. A
run is new to it if it restarted, was promoted, emptied or set back to earlier contents, or owns other slots. Then the
verifier

1. waits until the vouch key of every other run of the same slots has expired, so that no reader trusts two runs;
2. begins a new store incarnation, by a store claim of epoch 0, and publishes what the run may lack: all that changed
   since its earlier claim, or everything, and the later starts of grants of which the streams skipped events;
3. records the run as vouched for in the database, writes a store claim for the last sequence published, and vouches.

Each claim replaces the very claim that the verifier knows, and each vouch is for that claim alone. A run that was
emptied, promoted or claimed by another between two calls has a different one, or none, and refuses the call.
"""

import time
from collections.abc import Callable, Collection
from enum import StrEnum

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections

from featurestore.consent.change_sequence import load_change_sequence
from featurestore.consent.models import ChangeSequence
from featurestore.consent.outbox.publication import Publication, mark_published, settle
from featurestore.consent.vouching.journal_comparison import JournalComparison, JournalUnavailable
from featurestore.consent.vouching.latch import is_latched, latch
from featurestore.consent.vouching.lease import DATABASE_GRACE_S, HeldLease, name_of
from featurestore.consent.vouching.node_changes import LostCommit, NodeChanges
from featurestore.consent.vouching.passed_by_subjects import PassedBySubjects, PassedByUnavailable
from featurestore.consent.vouching.store_history import latched_epoch_of, lost_commit
from featurestore.store.protocol import Node, Run, StoreClaim, StoreUnavailable, VouchingRecord, new_incarnation

log = structlog.get_logger(__name__)


class VerifierState(StrEnum):
    """Outcome of a step; logged when it changes."""

    VOUCHING = "vouching"
    STANDBY = "another store verifier holds the lease"
    WAITING = "waiting until the vouch key of another run has expired"
    PUBLISHING = "publishing permissions to a new run"
    STORE_UNAVAILABLE = "store unavailable"
    STORE_CHANGED = "the run changed meanwhile"
    STORE_OUTDATED = "store holds data of a version before 0.2. Empty it with redis-cli FLUSHDB. Reads are denied"
    LATCHED = "latched: the database has lost commits. Reads are denied until an operator takes the denials over"
    JOURNAL_UNAVAILABLE = "the journal can't be read, to compare this database with it. Reads are denied"
    PASSED_BY_UNAVAILABLE = "the topic of passed-by subjects can't be read, to vouch for a new run. Reads are denied"
    CLOCK_BEHIND = "the database's clock is behind the brokers' by more than 1 s. Reads are denied"
    DATABASE_UNAVAILABLE = "database unavailable, vouching for the known run"
    DATABASE_LOST = "database unavailable for too long. Reads are denied"


class NodeVerifier:
    """Verifier of one node. Call ``step`` twice a second.

    ``clock`` counts seconds. ``stopping`` ends a long publication early. ``lease`` is shared by the verifiers of a
    process; without it the verifier has one of its own. Without ``journal`` there is none to compare; without
    ``passed_by`` it is not known of which subjects the streams skipped events.
    ``clock_is_behind``: whether the database's clock is so far behind the brokers' that nothing may be vouched for.
    """

    def __init__(
        self,
        node: Node,
        expiry_ms: int,
        clock: Callable[[], float] = time.monotonic,
        stopping: Callable[[], bool] = lambda: False,
        lease: HeldLease | None = None,
        journal: JournalComparison | None = None,
        clock_is_behind: Callable[[], bool] = lambda: False,
        passed_by: PassedBySubjects | None = None,
    ):
        self.passed_by = passed_by
        self.node, self.clock, self.stopping, self.journal = node, clock, stopping, journal
        self.clock_is_behind = clock_is_behind
        self.lease = lease or HeldLease(lambda: [node], expiry_ms, clock)
        self.changes = NodeChanges(node)
        self.log = log.bind(node=node.name) if node.name else log
        self.state: VerifierState | None = None
        self._interrupted: tuple[StoreClaim, int] | None = None  # how far a publication came, and under which claim
        self._epoch, self._database_at = 0, clock()
        self._up_to_date: StoreClaim | None = None  # of the run that holds all that is known to be committed

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
            return self._verify(self.node.run(), self.node.vouching_record())
        except StoreUnavailable:
            return VerifierState.STORE_UNAVAILABLE
        except JournalUnavailable:
            return VerifierState.JOURNAL_UNAVAILABLE
        except PassedByUnavailable:
            return VerifierState.PASSED_BY_UNAVAILABLE
        except (DatabaseError, InterfaceError):
            return self._vouch_without_database()

    def _verify(self, run: Run, record: VouchingRecord) -> VerifierState:
        """One step with what was read from the node. The database is read after it (``store_history.py``)."""
        began = self.clock()
        held, vouched_runs, change_sequence = self.lease.hold(), self.lease.vouched_runs(), load_change_sequence()
        self._epoch, self._database_at = change_sequence.epoch, began
        if is_latched(change_sequence) and record.latched_epoch >= change_sequence.epoch:
            return VerifierState.LATCHED
        if is_latched(change_sequence) or record.latched_epoch >= change_sequence.epoch:
            return self._latch(
                change_sequence.latch_reason or "a node of the store is latched", change_sequence, record
            )
        if reason := lost_commit(record, change_sequence):
            return self._latch(reason, change_sequence, record)
        if not held:
            return VerifierState.STANDBY
        if self.clock_is_behind():  # events from before a consent would count
            self._up_to_date = None
            return VerifierState.CLOCK_BEHIND
        if self.journal and self.journal.is_ahead(run):
            return self._latch("the journal holds a change that the database never numbered", change_sequence, record)
        try:
            return self._hold_and_vouch(run, record.claim, change_sequence, vouched_runs)
        except LostCommit as lost:
            return self._latch(str(lost), change_sequence, record)

    def _hold_and_vouch(
        self, run: Run, claim: StoreClaim | None, change_sequence: ChangeSequence, vouched_runs: Collection[str]
    ) -> VerifierState:
        epoch, lease = change_sequence.epoch, self.lease.fence(change_sequence.epoch)
        is_known = claim is not None and (claim.run, claim.epoch) == (run, epoch) and name_of(run) in vouched_runs
        if claim is None or not is_known or not self.lease.continues(claim):
            return self._publish_to_new_run(run, claim, change_sequence, vouched_runs)
        if claim.lease != lease:
            earlier, claim = claim, claim._replace(lease=lease)
            if not self.node.write_claim(claim, earlier):
                return VerifierState.STORE_CHANGED
        self.lease.fenced(run)
        publications: list[Publication] = []
        for changes in self.changes.unpublished():
            self._up_to_date = None
            publications.append(self.changes.publish(changes))
        if (vouched := self._vouch(claim)) is None:
            return VerifierState.STORE_CHANGED
        claim = vouched
        late = [settle(publication, vouched=True)[1] for publication in publications]
        last = self.changes.published_up_to()
        if last > claim.sequence:
            earlier, claim = claim, claim._replace(sequence=last)
            if not self.node.write_claim(claim, earlier):
                self._up_to_date = None
                return VerifierState.STORE_CHANGED
            self._up_to_date = claim
        if any(late):
            self._up_to_date = None  # their later start is to be published first
        return VerifierState.VOUCHING

    def _publish_to_new_run(
        self, run: Run, claim: StoreClaim | None, change_sequence: ChangeSequence, vouched_runs: Collection[str]
    ) -> VerifierState:
        """Publish what a new run may lack: what changed since its claim, or everything; then vouch for it."""
        if self.node.is_outdated():
            return VerifierState.STORE_OUTDATED
        if not self.lease.may_replace_others(run, vouched_runs):
            return VerifierState.WAITING
        epoch, lease = change_sequence.epoch, self.lease.fence(change_sequence.epoch)
        if self._interrupted and self._interrupted[0] == claim and claim.lease == lease:
            begun, start = self._interrupted
        else:
            is_usable = claim is not None and claim.epoch == epoch and _lacks_only_later(claim, vouched_runs)
            if claim and is_usable and claim.run == run and not self.lease.continues(claim):
                self.log.error("the store went back to earlier contents: everything is published and pushed again")
                is_usable = False
            begun, start = new_incarnation(run, lease), claim.sequence if claim and is_usable else 0
            if not self.node.write_claim(begun, claim):
                return VerifierState.STORE_CHANGED
            self.log.info("publishing permissions to a new run", after=start, epoch=epoch)
        self.lease.fenced(run)

        def may_go_on() -> bool:
            return not self.stopping() and self.lease.hold()

        def goes_on(reached: int) -> bool:
            self._interrupted = begun, reached
            return may_go_on()

        last = self.changes.publish_after(start, goes_on)
        if last is not None and self.passed_by and self.passed_by.restart_grants(self.node.owns, may_go_on):
            last = self.changes.publish_after(last, goes_on)
        if last is None:
            return VerifierState.PUBLISHING
        # A store emptied meanwhile has lost the claim; a database restored meanwhile has another database epoch.
        record, change_sequence = self.node.vouching_record(), load_change_sequence()
        if record.claim != begun or change_sequence.epoch != epoch or is_latched(change_sequence):
            return VerifierState.STORE_CHANGED
        # An old primary may come back as the run it was, without later changes: only the last run is trusted.
        claimed = begun._replace(epoch=epoch, sequence=last)
        if not self.lease.record_run(claimed):
            return VerifierState.STANDBY
        if not (self.node.write_claim(claimed, begun) and self._vouch(claimed)):
            return VerifierState.STORE_CHANGED
        self._interrupted = None
        for changes in self.changes.unpublished(last):
            if mark_published(changes):
                self._up_to_date = None
        return VerifierState.VOUCHING

    def _vouch(self, claim: StoreClaim) -> StoreClaim | None:
        """Write the vouch key; the claim with this renewal, or None if the store refused.

        It expires at a time of the node's clock, which is asked before the lease's limit is looked at: however late the
        call is executed, the key expires in time.
        """
        now_ms = self.node.now_ms()
        left_s = self.lease.vouch_limit() - self.clock()
        if left_s <= 0:
            return None
        try:
            vouched = self.node.vouch(claim, now_ms + int(left_s * 1000))
        finally:  # a call whose answer was lost may have set the key
            self.lease.vouched(claim.run)
        self._up_to_date = claim._replace(renewals=claim.renewals + 1) if vouched else None
        if self._up_to_date:
            self.lease.remember(self._up_to_date)
        return self._up_to_date

    def _vouch_without_database(self) -> VerifierState:
        """Keep vouching for DATABASE_GRACE_S: the run holds all that was committed, and nothing commits meanwhile."""
        is_late = self.clock() - self._database_at > DATABASE_GRACE_S
        if is_late or self._up_to_date is None or not self.lease.is_held_without_database:
            return VerifierState.DATABASE_LOST
        try:
            run, record = self.node.run(), self.node.vouching_record()
            claim = record.claim
            is_known = claim is not None and claim._replace(renewals=0) == self._up_to_date._replace(renewals=0)
            if claim and is_known and claim.run == run and self.lease.continues(claim) and self._vouch(claim):
                return VerifierState.DATABASE_UNAVAILABLE
            return VerifierState.DATABASE_LOST
        except StoreUnavailable:
            return VerifierState.STORE_UNAVAILABLE

    def _latch(self, reason: str, change_sequence: ChangeSequence, record: VouchingRecord) -> VerifierState:
        latch(reason, change_sequence, latched_epoch_of(record), [self.node])
        return VerifierState.LATCHED


def _lacks_only_later(claim: StoreClaim, vouched_runs: Collection[str]) -> bool:
    """Whether the store lacks no change up to its claim.

    In a cluster, slots may have moved away and back with the data of a primary that was not vouched for, unless the
    claim's run is the one vouched for last.
    """
    return not claim.run.slots or name_of(claim.run) in vouched_runs
