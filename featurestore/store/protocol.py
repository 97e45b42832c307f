"""Protocol of the online store, which every backend implements. One contract test suite (tests/store) holds them to it.

Calls are synchronous; the streams make them from a thread of their own. A call that can't reach the store raises
StoreUnavailable within the time given, never hangs, and may be repeated: every write is fenced.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from featurestore.permission import Permission

NEW_INCARNATION_EPOCH = 0
"""The database epoch of a store claim that begins a new store incarnation; no database has it."""


class StoreUnavailable(Exception):
    """The store did not answer in time, is unreachable, loading, read-only or full. The message states which."""


class Run(NamedTuple):
    """Identity of a Redis run: a restart changes run_id, a promotion replication_id, resharding the slots it owns."""

    run_id: str
    replication_id: str
    slots: str = ""  # in the notation of featurestore.store.slots; of a single server "": all


class StoreClaim(NamedTuple):
    """Statement, stored beside the permissions, that a run holds all of them up to a (database epoch, sequence)."""

    run: Run
    epoch: int
    sequence: int


class Watermark(NamedTuple):
    """Freshness watermark of one partition of a source: how far it is folded and pushed to the store."""

    generation: int
    offset: int
    folded_to_ms: int  # every event that Kafka had by this time is in the store
    coverage_starts_ms: dict[int, int]  # view fingerprint -> no event before this time counts (0: from the beginning)
    incarnation: str = ""  # the store incarnation to which the values were pushed; in another one they may be lost


class NodeState(NamedTuple):
    """State of one node beside its subjects: its incarnation and the watermarks asked for, in order.

    ``incarnation`` is the value of the vouch key, ``RUN_ID:SLOTS:STARTED`` (when the permissions began to be published
    to the empty or cleared store, in the server's time); "" while the node is not vouched for.
    """

    incarnation: str
    watermarks: list[Watermark | None]


class StoredSubject(NamedTuple):
    """Stored data of one subject: its permission and the raw fields asked for, in order.

    Unless its node is vouched for, the permission counts as missing.
    """

    permission: Permission | None
    fields: list[bytes | None]
    node: NodeState

    @property
    def vouched(self) -> bool:
        return bool(self.node.incarnation)


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
        """Write values where permission, grant id and fence allow it; the outcomes, in order."""

    def publish_permissions(self, permissions: Mapping[str, Permission]) -> dict[str, PublishResult]:
        """Store permissions (fenced) and in the same step drop every field that they neither allow nor pause.

        Raises StoreUnavailable if no node answers; the subjects of a node that does not are left out of the result.
        """

    def drop_disallowed(self, subjects: Iterable[str]) -> None:
        """Drop every field that the stored permission neither allows nor pauses (all of them where there is none)."""

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

    def vouch(self, run: Run, expiry_ms: int) -> bool:
        """State for a while that the run holds the database's permissions; False if the run has no store claim."""

    def write_claim(self, run: Run, epoch: int, sequence: int) -> bool:
        """Store that this run holds every permission up to a (database epoch, sequence); False if the run is another.

        A claim is data like the permissions: persisted and replicated after them, lost when the store is emptied. One
        of NEW_INCARNATION_EPOCH begins a new store incarnation, to which the streams push every value again.
        """

    def is_outdated(self) -> bool:
        """Whether the node holds data of a version before 0.2, which this version does not read."""

    def read_claim(self) -> StoreClaim | None:
        """The stored claim, perhaps of an earlier run whose data this one loaded."""
