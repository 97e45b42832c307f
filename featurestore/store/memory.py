"""The online store in memory: for tests and for trying definitions out. One process, nothing kept.

It states the contract in plain Python beside the Lua scripts; one suite holds both to it.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from featurestore.permission import Permission, PurposePermission, current
from featurestore.store.protocol import (
    FieldWrite,
    NodeState,
    PublishResult,
    ReadResult,
    Run,
    StoredSubject,
    StoreUnavailable,
    Watermark,
    WriteOutcome,
)
from featurestore.tiles.stored_field import fencing_header_of


class MemoryStore:
    """``restart`` and ``available`` play a Redis that comes back as another run, or goes away."""

    name = ""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self.available = True
        self._clock, self._lock, self._runs, self._fills = clock, threading.RLock(), 1, 0
        self._permissions: dict[str, Permission] = {}
        self._fields: dict[str, dict[str, bytes]] = {}
        self._marks: dict[tuple[str, int], Watermark] = {}
        self._vouched: tuple[Run, float, str] | None = None
        self._claim: tuple[Run, int, int] | None = None

    def restart(self, *, emptied: bool = False) -> None:
        """Come back as another run, with the data or without."""
        self._runs += 1
        if emptied:
            self._permissions, self._fields, self._marks, self._claim, self._vouched = {}, {}, {}, None, None

    def read(
        self, subjects: Sequence[str], fields: Sequence[str], marks: Sequence[tuple[str, int]], timeout_ms: int
    ) -> ReadResult:
        with self._answering():
            node, stored = NodeState(self._word(), [self._marks.get(place) for place in marks]), []
            for subject in subjects:
                values = self._fields.get(subject, {})
                stored.append(
                    StoredSubject(self._permissions.get(subject), [values.get(name) for name in fields], node)
                )
            return ReadResult(stored, [node])

    def write(self, writes: Sequence[FieldWrite], now_ms: int) -> list[WriteOutcome]:
        with self._answering():
            return [self._write(write, now_ms) for write in writes]

    def _write(self, write: FieldWrite, now_ms: int) -> WriteOutcome:
        stamp = fencing_header_of(write.value)
        grant = current(self._permissions.get(write.subject), write.purpose, now_ms)
        if not isinstance(grant, PurposePermission) or grant.grant_id != stamp.grant_id:
            return WriteOutcome.REFUSED
        fields = self._fields.setdefault(write.subject, {})
        if (raw := fields.get(write.name)) is not None:
            there = fencing_header_of(raw)
            if there[:2] > stamp[:2] and there.grant_id == stamp.grant_id:
                return WriteOutcome.STALE
        fields[write.name] = write.value
        return WriteOutcome.DONE

    def publish_permissions(self, permissions: Mapping[str, Permission]) -> dict[str, PublishResult]:
        with self._answering():
            puts = {}
            for subject, permission in permissions.items():
                there = self._permissions.get(subject)
                newer = there is not None and there.fence > permission.fence
                if not newer:
                    self._permissions[subject] = permission
                self._sweep(subject)
                puts[subject] = PublishResult(bool(self._word()), newer)
            return puts

    def sweep(self, subjects: Iterable[str]) -> None:
        with self._answering():
            for subject in subjects:
                self._sweep(subject)

    def _sweep(self, subject: str) -> None:
        permission = self._permissions.get(subject)
        purposes = permission.purposes if permission else {}
        for name, raw in list(self._fields.get(subject, {}).items()):
            grant = purposes.get(name.rpartition("/")[2])
            if grant is None or not grant.allowed or grant.grant_id != fencing_header_of(raw).grant_id:
                del self._fields[subject][name]

    def advance_watermark(self, source: str, partition: int, mark: Watermark) -> bool:
        with self._answering():
            there = self._marks.get((source, partition))
            if there is not None and there[:3] > mark[:3]:
                return False
            self._marks[source, partition] = mark
            return True

    def run(self) -> Run:
        with self._answering():
            return Run(f"run{self._runs}", f"replication{self._runs}")

    def vouch(self, run: Run, expiry_ms: int) -> bool:
        with self._answering():
            if run != self.run() or self._claim is None or self._claim[0] != run:
                return False
            self._vouched = run, self._clock() + expiry_ms / 1000, f"{run.run_id}:{self._fills}"
            return True

    def write_claim(self, run: Run, epoch: int, sequence: int) -> bool:
        with self._answering():
            if run != self.run():
                return False
            if self._claim is None or self._claim[0] != run or not epoch:
                self._fills += 1
            self._claim = run, epoch, sequence
            return True

    def read_claim(self) -> tuple[Run, int, int] | None:
        with self._answering():
            return self._claim

    def subjects(self) -> Iterable[str]:
        with self._answering():
            return list(self._permissions.keys() | self._fields.keys())

    def nodes(self) -> "tuple[MemoryStore]":
        return (self,)

    def owns(self, subject: str) -> bool:
        return True

    def _word(self) -> str:
        if self._vouched is None or self._vouched[0] != self.run() or self._clock() >= self._vouched[1]:
            return ""
        return self._vouched[2]

    def _answering(self) -> threading.RLock:
        if not self.available:
            raise StoreUnavailable("store is away")
        return self._lock
