"""The online store: what every backend promises. One contract test suite (tests/store) holds them all to it.

Calls are synchronous; the streams call them from a thread of their own. A call that can't reach the store raises
StoreUnavailable within the time given, never hangs, and may be repeated: every write is fenced.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from featurestore.permission import Permission

NEW_INCARNATION_EPOCH = 0
"""The epoch in the claim of a run that is being filled: no database's, and gone when the run is emptied."""


class StoreUnavailable(Exception):
    """The store did not answer in time, is not reachable, or is loading, read-only or full. The message says which."""


class Run(NamedTuple):
    """Which Redis run this is: a restart changes run_id, a promotion replication_id, resharding the slots it owns."""

    run_id: str
    replication_id: str
    slots: str = ""  # as featurestore.store.slots names them; of a single server "": all


class Watermark(NamedTuple):
    """How far one partition of a source is folded and pushed, and since when its views have all that they show."""

    generation: int
    offset: int
    folded_to_ms: int  # everything that Kafka had by this time is in the store
    coverage_starts_ms: dict[
        int, int
    ]  # view fingerprint -> no event before this time is counted (0: from the beginning)
    incarnation: str = ""  # the store incarnation to which the values were pushed; in another one they may be gone


class NodeState(NamedTuple):
    """What one node says beside its subjects: the voucher's word, and the marks asked for, in order.

    ``fill`` is that word: it names the run, its slots and when it was filled with permissions; "" if nobody vouches.
    """

    incarnation: str
    watermarks: list[Watermark | None]


class StoredSubject(NamedTuple):
    """What the store holds of one subject: the permission and the raw fields asked for, in order.

    Unless its node is vouched for, the permission counts as absent.
    """

    permission: Permission | None
    fields: list[bytes | None]
    node: NodeState

    @property
    def vouched(self) -> bool:
        return bool(self.node.incarnation)


class ReadResult(NamedTuple):
    """One answer of the store: the subjects in order, and the nodes that were asked or should have been."""

    subjects: list[StoredSubject]
    nodes: list[NodeState]

    @property
    def vouched(self) -> bool:
        """Whether all of them answered and are vouched for."""
        return all(node.incarnation for node in self.nodes)


class FieldWrite(NamedTuple):
    """A view's packed values of one subject for one purpose. ``name`` is VIEW/PURPOSE (tiles.state.field_name)."""

    subject: str
    name: str
    purpose: str
    value: bytes  # starts with the stamp: generation, offset, grant


class WriteOutcome(StrEnum):
    """What became of a FieldWrite."""

    DONE = "done"
    STALE = "stale"  # a newer (generation, offset) is there: nothing to do
    REFUSED = "refused"  # the subject's permission does not hold this purpose and grant: read it and fold again


class PublishResult(NamedTuple):
    """What became of a permission put: in effect at once if ``vouched``, else when the store is vouched for."""

    vouched: bool
    superseded: bool  # a newer permission was there and stays


class OnlineStore(Protocol):
    """One hash a subject: its permission and one packed field per view and purpose. One node or several hold them."""

    def read(
        self, subjects: Sequence[str], fields: Sequence[str], marks: Sequence[tuple[str, int]], timeout_ms: int
    ) -> ReadResult:
        """In one round trip to each node of the subjects, all at once: its voucher, its marks of (source, partition)
        pairs, each subject's permission and fields. Without subjects every node is asked.

        Raises StoreUnavailable if none answers; nobody vouches for the subjects of one that does not.
        """

    def write(self, writes: Sequence[FieldWrite], now_ms: int) -> list[WriteOutcome]:
        """Write values where permission, grant and fence allow it; what became of each, in order."""

    def publish_permissions(self, permissions: Mapping[str, Permission]) -> dict[str, PublishResult]:
        """Publish permissions (fenced) and in the same step drop every field that they do not hold.

        Raises StoreUnavailable if none was put; the subjects of a node that is away are left out of the answer.
        """

    def sweep(self, subjects: Iterable[str]) -> None:
        """Drop every field that the stored permission does not hold (all of them where there is none)."""

    def subjects(self) -> Iterable[str]:
        """Every subject that has a hash, for the audit. May repeat one, may miss one that comes meanwhile."""

    def nodes(self) -> "Sequence[Node]":
        """The nodes as they are now, each a store of its own. Raises StoreUnavailable if they can't be learnt."""


class Node(OnlineStore, Protocol):
    """One primary: a store of the subjects in its slots, with a voucher, a claim and marks of its own.

    A single server is its only node. A node whose slots changed is another one.
    """

    name: str  # for logs: host and port; "" of a single server

    def owns(self, subject: str) -> bool:
        """Whether the subject lies in the node's slots."""

    def advance_watermark(self, source: str, partition: int, mark: Watermark) -> bool:
        """Move a mark forward; False where a newer (generation, offset) is there."""

    def run(self) -> Run:
        """The run that answers now."""

    def vouch(self, run: Run, expiry_ms: int) -> bool:
        """Vouch for the run's permissions for a while; False if it is not the run that was claimed."""

    def write_claim(self, run: Run, epoch: int, sequence: int) -> bool:
        """Say that this run holds every permission up to a (database epoch, sequence); False if the run is another.

        A claim is data like the permissions: persisted and replicated after them, gone when the store is emptied. One
        of NEW_INCARNATION_EPOCH says that the run is being filled: a new fill, to which the streams push every value again.
        """

    def read_claim(self) -> tuple[Run, int, int] | None:
        """The claim that the store holds, perhaps of an earlier run whose data this one loaded."""
