"""Protocol of the online store, which every backend implements. One contract test suite (tests/store) holds them to it.

Calls are synchronous; the streams make them from a thread of their own. A call that can't reach the store raises
StoreUnavailable within the time given, never hangs, and may be repeated: every write is fenced.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol
from uuid import uuid4

import msgspec

from featurestore.permission import Permission

NEW_INCARNATION_EPOCH = 0
"""The database epoch of a store claim that begins a new store incarnation; no database has it."""


MARK_DECODER = msgspec.msgpack.Decoder(tuple[int, int])  # of a recreation mark: time in ms, sequence
WHATEVER_IS_KEPT = 0
"""The time of a write that looks at no end and no pause of a grant."""
EVICTED_MS = -1
"""The time in an eviction mark, in place of a recreation mark's: before every grant."""
EVICTION_TOKENS = 2**21
"""Random numbers that tell eviction marks apart."""


class StoreUnavailable(Exception):
    """The store did not answer in time, is unreachable, loading, read-only or full. The message states which."""


class Run(NamedTuple):
    """Identity of a Redis run: a restart changes run_id, a promotion replication_id, resharding the slots it owns."""

    run_id: str
    replication_id: str
    slots: str = ""  # in the notation of featurestore.store.slots; of a single server "": all


class LeaseFence(NamedTuple):
    """Fence of the verifier lease under which a claim or a vouch key was written: the database's epoch, the lease's
    number, and its holder, who is the only one to have that number."""

    epoch: int = 0
    number: int = 0
    holder: str = ""


NO_LEASE = LeaseFence()


class StoreClaim(NamedTuple):
    """Statement, stored beside the permissions, that a run holds all of them up to a (database epoch, sequence).

    A claim is data like the permissions: persisted and replicated after them, lost when the store is emptied. One of
    NEW_INCARNATION_EPOCH begins a new store incarnation: nothing is claimed yet, and nobody can vouch for it.
    """

    run: Run
    epoch: int
    sequence: int
    started: str = ""  # names the store incarnation
    lease: LeaseFence = NO_LEASE
    renewals: int = 0  # of the vouch key, in this incarnation: a run that went back to earlier contents has fewer


class StoredChange(NamedTuple):
    """Number of a permission change, and the token by which the database knows whether it is its own change."""

    epoch: int
    sequence: int
    token: int = 0  # 0: unknown


class StoreMemory(NamedTuple):
    """Memory of a node, in bytes. Over its limit (0: it has none) a write is refused, and nothing is vouched for."""

    used_bytes: int
    limit_bytes: int


class VouchingRecord(NamedTuple):
    """What a node stores about vouching.

    ``claim``: perhaps of an earlier run whose data this one loaded. ``highest``: the highest change of which a
    permission was ever published to it. ``latched_epoch``: the node is latched for databases of this epoch and below;
    0: it is not. ``vouched_under``: the lease in the vouch key of the run that answers; None: there is no such key.
    """

    claim: StoreClaim | None
    highest: StoredChange | None
    latched_epoch: int
    vouched_under: LeaseFence | None

    @property
    def is_unfilled(self) -> bool:
        """Whether the store verifier has yet to publish every permission before it can vouch for the node: it was
        emptied, or is being filled."""
        is_filled = self.claim is not None and self.claim.epoch != NEW_INCARNATION_EPOCH
        return self.vouched_under is None and not is_filled


def new_incarnation(run: Run, lease: LeaseFence = NO_LEASE) -> StoreClaim:
    """The claim that begins a new store incarnation."""
    return StoreClaim(run, NEW_INCARNATION_EPOCH, 0, uuid4().hex, lease)


class Watermark(NamedTuple):
    """Freshness watermark of one partition of a source: how far it is folded and pushed to the store."""

    generation: int
    offset: int
    folded_to_ms: int  # every event that Kafka had by this time is in the store
    coverage_starts_ms: dict[int, int]  # view fingerprint -> no event before this time counts (0: from the beginning)
    incarnation: str = ""  # the store incarnation to which the values were pushed; in another one they may be lost


class NodeState(NamedTuple):
    """State of one node beside its subjects: its incarnation and the watermarks asked for, in order.

    ``incarnation`` is ``RUN_ID:SLOTS:STARTED``, from the vouch key; "" while the node is not vouched for.
    """

    incarnation: str
    watermarks: list[Watermark | None]


def marked_ms(mark: bytes) -> int:
    """The time in a recreation mark; EVICTED_MS in an eviction mark; 0 if it can't be read."""
    try:
        return MARK_DECODER.decode(mark)[0]
    except msgspec.MsgspecError:
        return 0


def eviction_token() -> int:
    """A number for an eviction mark: whoever pushed the values before a second eviction does not end that one."""
    return secrets.randbelow(EVICTION_TOKENS)


def eviction_mark(newest_s: int, token: int) -> bytes:
    """The eviction mark of a subject whose newest counted event was in a second."""
    return msgspec.msgpack.encode((EVICTED_MS, newest_s * EVICTION_TOKENS + token))


class StoredSubject(NamedTuple):
    """Stored data of one subject: its permission and the raw fields asked for, in order.

    Unless its node is vouched for, the permission counts as missing. ``recreation_mark``: a permission was stored where
    none was, though a grant of it had begun. Values may be missing until its grants start later and all were pushed.
    An *eviction mark* may be in its place: the values were deleted because the subject was idle.
    """

    permission: Permission | None
    fields: list[bytes | None]
    node: NodeState
    recreation_mark: bytes | None = None

    @property
    def recreated_ms(self) -> int | None:
        """When a permission was stored again, if values may be missing since; 0 if the mark can't be read."""
        time_ms = None if self.recreation_mark is None else marked_ms(self.recreation_mark)
        return None if time_ms == EVICTED_MS else time_ms

    @property
    def is_evicted(self) -> bool:
        """Whether the values were deleted because the subject was idle: the streams push them again at a purge."""
        return self.recreation_mark is not None and marked_ms(self.recreation_mark) == EVICTED_MS

    @property
    def vouched(self) -> bool:
        return bool(self.node.incarnation)

    @property
    def evicted_event_s(self) -> int | None:
        """The second of the newest event that the values of an evicted subject had counted; of others None."""
        if self.recreation_mark is None or not self.is_evicted:
            return None
        return MARK_DECODER.decode(self.recreation_mark)[1] // EVICTION_TOKENS


class ReadResult(NamedTuple):
    """Answer to a read: the subjects in order, and the nodes that were asked or should have been."""

    subjects: list[StoredSubject]
    nodes: list[NodeState]

    @property
    def vouched(self) -> bool:
        """Whether every node answered and is vouched for."""
        return all(node.incarnation for node in self.nodes)


class FieldWrite(NamedTuple):
    """Packed values of one subject, view and purpose. ``name`` is VIEW/PURPOSE (tiles.stored_field.field_name)."""

    subject: str
    name: str
    purpose: str
    value: bytes  # starts with the fencing header: generation, offset, grant id


class WriteOutcome(StrEnum):
    """Outcome of a FieldWrite."""

    DONE = "done"
    SUPERSEDED = "superseded"  # a newer (generation, offset) of the same grant is stored: nothing to do
    NOT_ALLOWED = "not_allowed"  # the stored permission lacks this purpose and grant id: read it and fold again


class PublishResult(NamedTuple):
    """Outcome of publishing a permission: in effect at once if ``vouched``, else when the store is vouched for."""

    vouched: bool
    superseded: bool  # a newer permission was stored before and stays
    highest_before: StoredChange | None = None  # the highest change published to the node before this call
    recreated: bool = False  # none was stored before, or was and its grants do not start later yet: events were skipped


class OnlineStore(Protocol):
    """One hash a subject: its permission and one packed field per view and purpose; on one node or several.

    A node is one primary server of Redis: the only one, or one of a cluster's.
    """

    def read(
        self, subjects: Sequence[str], fields: Sequence[str], watermarks: Sequence[tuple[str, int]], timeout_ms: int
    ) -> ReadResult:
        """In one round trip to each node of the subjects, all at once: its vouch key, its watermarks of (source,
        partition) pairs, each subject's permission and fields. Without subjects every node is asked.

        Raises StoreUnavailable if no node answers; the subjects of one that does not are returned as not vouched for.
        """

    def write(self, writes: Sequence[FieldWrite], now_ms: int) -> list[WriteOutcome]:
        """Write values where permission, grant id and fence allow it; the outcomes, in order.

        With WHATEVER_IS_KEPT as the time, values of a grant that is over or paused are written, too: they are kept and
        never answered.
        """

    def publish_permissions(
        self, permissions: Mapping[str, Permission], now_ms: int | None = None
    ) -> dict[str, PublishResult]:
        """Store permissions (fenced) and in the same step drop every field that they neither allow nor pause.

        Before them, each node's highest change is raised to the highest of theirs, with its token.

        ``now_ms``: a subject without a stored permission gets a recreation mark if a grant of the new one had begun by
        then. None fills a new store incarnation, to which the streams push every value anyway.

        Raises StoreUnavailable if no node answers; the subjects of a node that does not are left out of the result.
        """

    def drop_disallowed(self, subjects: Mapping[str, bytes | None]) -> None:
        """Drop every field that the stored permission neither allows nor pauses (all of them where there is none).

        The values by subject: the recreation or eviction mark after which every value was pushed. It is removed if it
        is still the stored one, and every grant of the permission starts later than it.
        """

    def contents(self, subjects: Sequence[str]) -> list[dict[str, bytes]]:
        """Every field of the subjects' hashes by name, in order: ``p`` the permission, ``r`` the recreation or
        eviction mark, and the values of views, also of removed ones. Raises StoreUnavailable if any node does not
        answer.
        """

    def erase(self, subjects: Sequence[str]) -> set[str]:
        """Delete the hashes of subjects whose permission names no purpose, or that have none; the subjects whose hash
        stays. Raises StoreUnavailable if any node does not answer; on the others it took effect.
        """

    def evict(self, subjects: Sequence[str], idle_since_s: int, *, dry_run: bool = False) -> list[int | None]:
        """Evict idle subjects, each in one step: delete its values and leave a new eviction mark; its permission stays.

        The bytes of the deleted values, in order. None: the subject is not idle, which means that its values counted an
        event since that second, or that somebody is subscribed to its changes. 0: there is nothing that may be deleted;
        of a subject with a paused purpose, or a recreation mark, every value stays. ``dry_run`` changes nothing.

        Works in a full store. Raises StoreUnavailable if any node does not answer; on the others it took effect.
        """

    def mark_evicted(self, subjects: Mapping[str, int]) -> set[str]:
        """Give an eviction mark to the subjects that have a permission and no values; those that are evicted now.

        The values by subject: the second of the newest counted event.

        Raises StoreUnavailable if any node does not answer; on the others it took effect.
        """

    def subjects(self) -> Iterable[str]:
        """Every subject that has a hash, for the audit. May repeat one, may miss one that is added meanwhile."""

    def nodes(self) -> "Sequence[Node]":
        """The nodes at present, each a store of its own. Raises StoreUnavailable if they can't be discovered."""


class Node(OnlineStore, Protocol):
    """One primary server of Redis: a store of its subjects, with a vouch key, a store claim and watermarks of its own.

    A single server is the only node of its store. A node whose slots changed is another one.
    """

    name: str  # for logs: host and port; "" of a single server

    def owns(self, subject: str) -> bool:
        """Whether the subject's slot is one of the node's."""

    def advance_watermark(self, source: str, partition: int, watermark: Watermark) -> bool:
        """Move a watermark forward; False where a newer (generation, offset) is stored."""

    def run(self) -> Run:
        """The run that answers now."""

    def now_ms(self) -> int:
        """The time of the node's clock, by which the vouch key expires."""

    def memory(self) -> StoreMemory:
        """The memory that it uses, and its limit."""

    def vouching_record(self) -> VouchingRecord:
        """What the node stores about vouching."""

    def write_claim(self, claim: StoreClaim, expected: StoreClaim | None) -> bool:
        """Replace the stored claim. One that begins an incarnation deletes the vouch key.

        False if the stored one is not the expected one (None: none), if its lease is a later one, or if the claim's run
        is not the one that answers.
        """

    def vouch(self, claim: StoreClaim, until_ms: int) -> bool:
        """State until a time of the node's clock that the claim's run holds the database's permissions.

        The stored claim then has one renewal more. False if the claim is not stored as it is, or if the node is
        latched for its epoch.
        """

    def latch(self, epoch: int) -> None:
        """Delete the vouch key, and refuse to vouch for claims of this epoch or a lower one, for good."""

    def is_outdated(self) -> bool:
        """Whether the node holds data of a version before 0.2, which this version does not read."""
