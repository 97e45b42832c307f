"""The online store: what every backend promises. One contract test suite (tests/online) holds them all to it.

Calls are synchronous; the streams call them from a thread of their own. A call that can't reach the store raises
StoreUnavailable within the time given, never hangs, and may be repeated: every write is fenced.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from featurestore.permission import Permission


class StoreUnavailable(Exception):
    """The store did not answer in time, is not reachable, or is loading, read-only or full. The message says which."""


class Run(NamedTuple):
    """Which Redis run this is: a restart changes run_id, a promotion changes replication_id."""

    run_id: str
    replication_id: str


class Mark(NamedTuple):
    """How far one partition of a source is folded and pushed, and since when its views have all that they show."""

    generation: int
    offset: int
    folded_to_ms: int  # everything that Kafka had by this time is in the store
    births_ms: dict[int, int]  # view fingerprint -> no event before this time is counted (0: from the beginning)
    fill: str = ""  # the fill of the store to which the values were pushed; of another one they may be gone


class Stored(NamedTuple):
    """What the store holds of one subject: the permission and the raw fields asked for, in order."""

    permission: Permission | None
    fields: list[bytes | None]


class Reading(NamedTuple):
    """One answer of the store. Unless it is vouched for, its permissions count as absent.

    ``fill`` is the voucher's word: it names the run and when it was filled with permissions; "" if nobody vouches.
    """

    fill: str
    subjects: list[Stored]
    marks: list[Mark | None]

    @property
    def vouched(self) -> bool:
        return bool(self.fill)


class FieldWrite(NamedTuple):
    """A view's packed values of one subject for one purpose. ``name`` is VIEW/PURPOSE (tiles.state.field_name)."""

    subject: str
    name: str
    purpose: str
    value: bytes  # starts with the stamp: generation, offset, grant


class Written(StrEnum):
    """What became of a FieldWrite."""

    DONE = "done"
    STALE = "stale"  # a newer (generation, offset) is there: nothing to do
    REFUSED = "refused"  # the subject's permission does not hold this purpose and grant: read it and fold again


class Put(NamedTuple):
    """What became of a permission put: in effect at once if ``vouched``, else when the store is vouched for."""

    vouched: bool
    newer: bool  # a newer permission was there and stays


class OnlineStore(Protocol):
    """One hash a subject: its permission and one packed field per view and purpose."""

    def read(
        self, subjects: Sequence[str], fields: Sequence[str], marks: Sequence[tuple[str, int]], timeout_ms: int
    ) -> Reading:
        """In one round trip: the voucher, marks of (source, partition) pairs, each subject's permission and fields."""

    def write(self, writes: Sequence[FieldWrite], now_ms: int) -> list[Written]:
        """Write values where permission, grant and fence allow it; what became of each, in order."""

    def put_permissions(self, permissions: Mapping[str, Permission]) -> dict[str, Put]:
        """Put permissions (fenced) and in the same step drop every field that they do not hold."""

    def sweep(self, subjects: Iterable[str]) -> None:
        """Drop every field that the stored permission does not hold (all of them where there is none)."""

    def mark(self, source: str, partition: int, mark: Mark) -> bool:
        """Move a mark forward; False where a newer (generation, offset) is there."""

    def run(self) -> Run:
        """The run that answers now."""

    def vouch(self, run: Run, expiry_ms: int) -> bool:
        """Vouch for the run's permissions for a while; False if it is not the run that was claimed."""

    def claim(self, run: Run, epoch: int, sequence: int) -> bool:
        """Say that this run holds every permission up to a (database epoch, sequence); False if the run is another.

        A claim is data like the permissions: persisted and replicated after them, gone when the store is emptied. One
        of epoch 0 says that the run is being filled: a new fill, to which the streams push every value again.
        """

    def claimed(self) -> tuple[Run, int, int] | None:
        """The claim that the store holds, perhaps of an earlier run whose data this one loaded."""

    def subjects(self) -> Iterable[str]:
        """Every subject that has a hash, for the audit. May repeat one, may miss one that comes meanwhile."""
