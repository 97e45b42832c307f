"""Online store in the memory of one process, for tests and for trying definitions out.

It states the contract in plain Python beside the Lua scripts; one test suite holds both to it.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from featurestore.permission import Permission, PurposePermission, current, held
from featurestore.store.protocol import (
    EVICTED_MS,
    MARK_DECODER,
    NEW_INCARNATION_EPOCH,
    WHATEVER_IS_KEPT,
    FieldWrite,
    NodeState,
    PublishResult,
    ReadResult,
    Run,
    StoreClaim,
    StoredChange,
    StoredSubject,
    StoreMemory,
    StoreUnavailable,
    VouchingRecord,
    Watermark,
    WriteOutcome,
    eviction_mark,
    eviction_token,
    marked_ms,
)
from featurestore.tiles.stored_field import fencing_header_of, newest_s_of


class MemoryStore:
    """Store of one node. ``restart`` and ``available`` imitate a Redis that restarts or can't be reached."""

    name = ""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self.available = True
        self._clock, self._lock, self._runs = clock, threading.RLock(), 1
        self._permissions: dict[str, Permission] = {}
        self._fields: dict[str, dict[str, bytes]] = {}
        self._recreation_marks: dict[str, bytes] = {}
        self._watermarks: dict[tuple[str, int], Watermark] = {}
        self._vouch: tuple[StoreClaim, float] | None = None  # the claim vouched for, expiry on the clock
        self._claim: StoreClaim | None = None
        self._highest: StoredChange | None = None
        self._latched_epoch = 0

    def restart(self, *, emptied: bool = False) -> None:
        """Become another run, with the data or without."""
        self._runs += 1
        if emptied:
            self._permissions, self._fields, self._recreation_marks, self._watermarks = {}, {}, {}, {}
            self._claim = self._vouch = self._highest = None
            self._latched_epoch = 0

    def delete(self, subject: str) -> None:
        """Delete a subject's hash, as somebody else's DEL does."""
        for contents in (self._permissions, self._fields, self._recreation_marks):
            contents.pop(subject, None)

    def read(
        self, subjects: Sequence[str], fields: Sequence[str], watermarks: Sequence[tuple[str, int]], timeout_ms: int
    ) -> ReadResult:
        with self._available_lock():
            node, stored = NodeState(self._incarnation(), [self._watermarks.get(key) for key in watermarks]), []
            for subject in subjects:
                values = [self._fields.get(subject, {}).get(name) for name in fields]
                mark = self._recreation_marks.get(subject)
                stored.append(StoredSubject(self._permissions.get(subject), values, node, mark))
            return ReadResult(stored, [node])

    def write(self, writes: Sequence[FieldWrite], now_ms: int) -> list[WriteOutcome]:
        with self._available_lock():
            return [self._write(write, now_ms) for write in writes]

    def _write(self, write: FieldWrite, now_ms: int) -> WriteOutcome:
        header = fencing_header_of(write.value)
        applying = held if now_ms == WHATEVER_IS_KEPT else current
        permission = applying(self._permissions.get(write.subject), write.purpose, now_ms)
        if not isinstance(permission, PurposePermission) or permission.grant_id != header.grant_id:
            return WriteOutcome.NOT_ALLOWED
        fields = self._fields.setdefault(write.subject, {})
        if (raw := fields.get(write.name)) is not None:
            stored = fencing_header_of(raw)
            if stored[:2] > header[:2] and stored.grant_id == header.grant_id:
                return WriteOutcome.SUPERSEDED
        fields[write.name] = write.value
        return WriteOutcome.DONE

    def publish_permissions(
        self, permissions: Mapping[str, Permission], now_ms: int | None = None
    ) -> dict[str, PublishResult]:
        with self._available_lock():
            before = self._highest
            if permissions:
                newest = max(permissions.values(), key=lambda permission: permission.fence)
                if before is None or newest.fence > before[:2]:
                    self._highest = StoredChange(*newest.fence, newest.token)
            return {subject: self._publish(subject, one, now_ms, before) for subject, one in permissions.items()}

    def _publish(
        self, subject: str, permission: Permission, now_ms: int | None, highest_before: StoredChange | None
    ) -> PublishResult:
        stored = self._permissions.get(subject)
        superseded = stored is not None and stored.fence > permission.fence
        if not superseded:
            self._permissions[subject] = permission
        if stored is None and now_ms is not None and _has_begun(permission, now_ms):
            self._recreation_marks[subject] = msgspec.msgpack.encode((now_ms, permission.sequence))
        self._drop_disallowed(subject)
        recreated = not superseded and (stored is None or self._has_open_mark(subject))
        return PublishResult(bool(self._incarnation()), superseded, highest_before, recreated)

    def _has_open_mark(self, subject: str) -> bool:
        mark, permission = self._recreation_marks.get(subject), self._permissions.get(subject)
        return mark is not None and permission is not None and _has_begun(permission, MARK_DECODER.decode(mark)[0])

    def drop_disallowed(self, subjects: Mapping[str, bytes | None]) -> None:
        with self._available_lock():
            for subject, mark in subjects.items():
                self._drop_disallowed(subject)
                pushed = mark is not None and mark == self._recreation_marks.get(subject)
                if pushed and subject in self._permissions and not self._has_open_mark(subject):
                    del self._recreation_marks[subject]

    def _drop_disallowed(self, subject: str) -> None:
        permission = self._permissions.get(subject)
        purposes = permission.purposes if permission else {}
        for name, raw in list(self._fields.get(subject, {}).items()):
            held = purposes.get(name.rpartition("/")[2])
            kept = (
                held is not None and (held.allowed or held.paused) and held.grant_id == fencing_header_of(raw).grant_id
            )
            if not kept:
                del self._fields[subject][name]

    def contents(self, subjects: Sequence[str]) -> list[dict[str, bytes]]:
        with self._available_lock():
            return [self._contents(subject) for subject in subjects]

    def _contents(self, subject: str) -> dict[str, bytes]:
        permission, mark = self._permissions.get(subject), self._recreation_marks.get(subject)
        found = {"p": permission.encode()} if permission else {}
        return found | ({"r": mark} if mark else {}) | self._fields.get(subject, {})

    def erase(self, subjects: Sequence[str]) -> set[str]:
        with self._available_lock():
            left = {one for one in subjects if one in self._permissions and self._permissions[one].purposes}
            for subject in set(subjects) - left:
                self.delete(subject)
            return left

    def evict(self, subjects: Sequence[str], idle_since_s: int, *, dry_run: bool = False) -> list[int | None]:
        with self._available_lock():
            token = None if dry_run else eviction_token()
            return [self._evict(subject, idle_since_s, token) for subject in subjects]

    def _evict(self, subject: str, idle_since_s: int, token: int | None) -> int | None:
        values = self._fields.get(subject, {})
        seconds = [newest_s_of(raw) for raw in values.values()]
        if not self._may_evict(subject) or None in seconds:
            return 0
        newest_s = max((second for second in seconds if second is not None), default=-1)
        if newest_s >= idle_since_s:
            return None
        size = sum(len(name) + len(raw) for name, raw in values.items())
        if size and token is not None:
            del self._fields[subject]
            self._recreation_marks[subject] = eviction_mark(newest_s, token)
        return size

    def _may_evict(self, subject: str) -> bool:
        permission, mark = self._permissions.get(subject), self._recreation_marks.get(subject)
        paused = permission is None or any(one.paused for one in permission.purposes.values())
        return not paused and (mark is None or marked_ms(mark) == EVICTED_MS)

    def mark_evicted(self, subjects: Mapping[str, int]) -> set[str]:
        with self._available_lock():
            token = eviction_token()
            empty = {one for one in subjects if self._may_evict(one) and not self._fields.get(one)}
            for subject in empty:
                self._recreation_marks.setdefault(subject, eviction_mark(subjects[subject], token))
            return empty

    def advance_watermark(self, source: str, partition: int, watermark: Watermark) -> bool:
        with self._available_lock():
            stored = self._watermarks.get((source, partition))
            if stored is not None and stored[:3] > watermark[:3]:
                return False
            self._watermarks[source, partition] = watermark
            return True

    def run(self) -> Run:
        with self._available_lock():
            return Run(f"run{self._runs}", f"replication{self._runs}")

    def now_ms(self) -> int:
        with self._available_lock():
            return int(self._clock() * 1000)

    def memory(self) -> StoreMemory:
        with self._available_lock():
            return StoreMemory(sum(len(raw) for one in self._fields.values() for raw in one.values()), 0)

    def vouching_record(self) -> VouchingRecord:
        with self._available_lock():
            vouched_under = self._vouch[0].lease if self._vouch and self._incarnation() else None
            return VouchingRecord(self._claim, self._highest, self._latched_epoch, vouched_under)

    def write_claim(self, claim: StoreClaim, expected: StoreClaim | None) -> bool:
        with self._available_lock():
            if claim.run != self.run() or self._claim != expected:
                return False
            if expected and claim.lease != expected.lease and claim.lease[:2] <= expected.lease[:2]:
                return False
            self._claim = claim
            if claim.epoch == NEW_INCARNATION_EPOCH:
                self._vouch = None
            return True

    def vouch(self, claim: StoreClaim, until_ms: int) -> bool:
        with self._available_lock():
            if claim.run != self.run() or self._claim != claim or claim.epoch <= self._latched_epoch:
                return False
            self._vouch = claim, until_ms / 1000
            self._claim = claim._replace(renewals=claim.renewals + 1)
            return True

    def latch(self, epoch: int) -> None:
        with self._available_lock():
            self._latched_epoch = max(self._latched_epoch, epoch)
            if self._vouch and self._vouch[0].epoch <= self._latched_epoch:
                self._vouch = None

    def is_outdated(self) -> bool:
        return False  # nothing outlives its process

    def subjects(self) -> Iterable[str]:
        with self._available_lock():
            return list(self._permissions.keys() | self._fields.keys() | self._recreation_marks.keys())

    def nodes(self) -> "tuple[MemoryStore]":
        return (self,)

    def owns(self, subject: str) -> bool:
        return True

    def _incarnation(self) -> str:
        if self._vouch is None or self._vouch[0].run != self.run() or self._clock() >= self._vouch[1]:
            return ""
        claim, _ = self._vouch
        return f"{claim.run.run_id}:{claim.run.slots}:{claim.started}"

    def _available_lock(self) -> threading.RLock:
        if not self.available:
            raise StoreUnavailable("store is unavailable")
        return self._lock


def _has_begun(permission: Permission, now_ms: int) -> bool:
    """Whether a grant of the permission, paused or not, had begun by a time."""
    held = (one for one in permission.purposes.values() if one.allowed or one.paused)
    return any(one.start_ms <= now_ms for one in held)
