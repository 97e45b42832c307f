"""The heart of a worker: rounds of events folded into tables and pushed to the store, purges carried out.

For each round: permissions of its subjects (one pipeline), fold, one changelog record a changed subject, acknowledged,
table, one fenced write a changed field (one pipeline). A crash anywhere replays: what a record has applied is skipped,
and a subject of whom something is skipped is written to the store again. A write that the store refuses, because the
permission changed after it was read, sends its subject back to where it was before the round, to be folded again under
the new one.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from featurestore.definitions import Event, EventSource, InvalidEvent, Registry
from featurestore.identity import is_subject, partition_of
from featurestore.permission import PurposePermission, Permission, current
from featurestore.store.protocol import FieldWrite, WriteOutcome
from featurestore.tiles.fold import Arrival, SourceFold
from featurestore.tiles.resolutions import MAX_CLOCK_SKEW_S
from featurestore.tiles.view_codec import layout_id_in
from featurestore.tiles.view_reader import FENCING_HEADER
from featurestore.tiles.record import Record, decode, layout_id_of, field_name
from streams import coverage
from streams.fetch_batches import FetchBatch
from streams.fetch_batches import Record as KafkaRecord
from streams.changelog import LARGEST_VALUE_BYTES
from streams.dead_letters import DeadLetterWriter, Rejection
from streams.retrying_store import RetryingStore
from streams.metrics import EVENT_TO_SERVED, OUTCOMES
from streams.tables import StateTable

EMPTY = Record()
SUBJECTS_PER_STEP = 100  # folded at once: tens of milliseconds in which the event loop does nothing else

Arrivals = Mapping[str, Sequence[Arrival]]


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


class SourceProcessor:
    """What becomes of one source's events and states; one a source and worker."""

    def __init__(
        self,
        source: EventSource,
        registry: Registry,
        table: StateTable,
        *,
        generation: int,
        partitions: int,
        clock: Callable[[], int] = clock_ms,
    ):
        self.source, self.table = source, table
        self.generation, self.partitions, self.clock = generation, partitions, clock
        self.views = registry.views_of(source.name)
        self.purposes = sorted({purpose for view in self.views for purpose in view.purposes})
        self.fold = SourceFold(self.views)
        self.layouts = {view.name: view.codec for view in self.fold.views}

    async def ensure_coverage_starts(self, partition: int, *, at_beginning: bool) -> dict[int, int]:
        """Since when the partition folds each view, by fingerprint; one that is new to it is born now."""
        known = self.coverage_starts_ms(partition)
        begins_ms = 0 if at_beginning and not known else self.clock() + MAX_CLOCK_SKEW_S * 1000 + 1
        coverage_starts_ms = {view.fingerprint: known.get(view.fingerprint, begins_ms) for view in self.views}
        if coverage_starts_ms != known:
            await self.table.commit(partition, {coverage.KEY: coverage.encode(coverage_starts_ms)})
        return coverage_starts_ms

    def coverage_starts_ms(self, partition: int) -> dict[int, int]:
        return coverage.decode(self.table.contents.read(partition, coverage.KEY))

    def arrivals(self, batch: FetchBatch) -> tuple[dict[str, list[Arrival]], list[Rejection]]:
        """The batch's events by subject, and what can't be folded, with its reason."""
        arrivals: dict[str, list[Arrival]] = {}
        rejected: list[Rejection] = []
        for record in batch.records:
            try:
                event = self._event(batch.partition, record)
            except InvalidEvent as error:
                rejected.append(Rejection(record, error.reason, str(error)))
            else:
                arrivals.setdefault(event.subject, []).append(Arrival(record.offset, record.timestamp_ms, event))
        return arrivals, rejected

    def _event(self, partition: int, record: KafkaRecord) -> Event:
        if record.value is None:
            raise InvalidEvent("record has no value")
        if record.timestamp_ms < 0:
            raise InvalidEvent("record has no timestamp")
        event = self.source.decode(record.value)
        if record.key != event.subject.encode() or partition_of(event.subject, self.partitions) != partition:
            raise InvalidEvent("record's key or partition is not its subject's", "misplaced")
        ahead_ms = event.time_ms - record.timestamp_ms
        if ahead_ms > MAX_CLOCK_SKEW_S * 1000:
            raise InvalidEvent(
                f"time is {ahead_ms // 1000} s ahead of Kafka's, at most {MAX_CLOCK_SKEW_S} s are taken", "future"
            )
        return event

    def grants(self, permission: Permission | None, now_ms: int) -> dict[str, PurposePermission]:
        """By purpose, the grants of a permission that are in force."""
        if permission is None:
            return {}
        grants = {}
        for purpose in self.purposes:
            if isinstance(grant := current(permission, purpose, now_ms), PurposePermission):
                grants[purpose] = grant
        return grants

    def writes(
        self, subject: str, record: Record, before: Record = EMPTY, totals: Mapping[bytes, bytes] | None = None
    ) -> Iterable[FieldWrite]:
        """The fields of a record that are not those of ``before``; ``totals`` as ``SourceFold.fold_events`` tells them."""
        totals = totals or {}
        for view, states in record.views.items():
            if states == before.views.get(view):
                continue
            for kept in states:
                served = totals.get(kept.tiles) or self.layouts[view].totals(kept.tiles)
                for purpose, grant in kept.grants.items():
                    heartbeat_ms = FENCING_HEADER.pack(self.generation, record.offset, grant)
                    yield FieldWrite(subject, field_name(view, purpose), purpose, heartbeat_ms + served)

    def stored(self, partition: int, keys: Iterable[bytes]) -> Iterable[FieldWrite]:
        """Every field of some subjects, as the table has them: what a rebuild pushes."""
        coverage_starts_ms = self.coverage_starts_ms(partition)
        born = [view for view in self.views if view.fingerprint in coverage_starts_ms]
        layout_ids = {view.name: layout_id_of(view.fingerprint, coverage_starts_ms[view.fingerprint]) for view in born}
        for key, raw in self.table.contents.read_many(partition, keys).items():
            record = decode(raw)
            now = {
                name: [k for k in states if layout_id_in(k.tiles) == layout_ids.get(name)]
                for name, states in record.views.items()
            }
            yield from self.writes(key.decode(), Record(record.offset, views=now))


class SourceBatch:
    """One source's part of a round in one partition: who is concerned, with which events, and what was there."""

    def __init__(
        self, processor: SourceProcessor, partition: int, arrivals: Arrivals, coverage_starts_ms: Mapping[int, int]
    ):
        self.processor, self.partition, self.arrivals, self.coverage_starts_ms = (
            processor,
            partition,
            arrivals,
            coverage_starts_ms,
        )
        self.kept = processor.table.contents.read_many(partition, [subject.encode() for subject in arrivals])
        self.before = {
            subject: decode(raw) if (raw := self.kept.get(subject.encode())) else EMPTY for subject in arrivals
        }
        self.outcomes: Counter[str] | None = None  # of the first fold; another one judges the same events again

    async def fold(
        self, permissions: Mapping[str, Permission | None], now_ms: int
    ) -> tuple[dict[bytes, bytes | None], list[FieldWrite]]:
        """Fold the subjects that have a permission here, from where they were: what changes, what to write."""
        processor, again, counts = self.processor, self.outcomes is not None, Counter[str]()
        changes: dict[bytes, bytes | None] = {}
        writes: list[FieldWrite] = []
        for number, subject in enumerate([subject for subject in self.arrivals if subject in permissions], 1):
            if number % SUBJECTS_PER_STEP == 0:
                await asyncio.sleep(0)
            before, arrivals, key = self.before[subject], self.arrivals[subject], subject.encode()
            grants = processor.grants(permissions[subject], now_ms)
            record, totals = processor.fold.fold_events(
                before, arrivals, grants, coverage_starts_ms=self.coverage_starts_ms, counts=counts
            )
            if not (record.views or key in self.kept):
                continue  # nothing is kept of a subject without permission
            raw = fitting(record, counts)
            if raw != self.kept.get(key):
                changes[key] = self.kept[key] = raw
            replayed = not arrivals or arrivals[0].offset <= before.offset
            writes += processor.writes(subject, record, EMPTY if replayed or again else before, totals)
        if not again:
            self.outcomes = counts
        return changes, writes


def fitting(record: Record, counts: Counter[str]) -> bytes:
    """The record's bytes; views that make it larger than the changelog takes are given up, the largest first."""
    while len(raw := record.encode()) > LARGEST_VALUE_BYTES:
        largest = max(record.views, key=lambda name: sum(len(kept.tiles) for kept in record.views[name]))
        del record.views[largest]
        counts["oversized"] += 1
    return raw


class MicroBatchProcessor:
    """Carries out rounds. ``processors``: by event topic. A record of any other topic is a purge of its key."""

    def __init__(
        self,
        processors: Mapping[str, SourceProcessor],
        gate: RetryingStore,
        dead_letters: DeadLetterWriter,
        clock: Callable[[], int] = clock_ms,
    ):
        self.processors, self.store, self.dead_letters, self.clock = processors, gate, dead_letters, clock

    async def handle(self, batches: Sequence[FetchBatch]) -> None:
        """When it returns, everything of the batches is served or carried out, and durable, or a dead letter."""
        events = [batch for batch in batches if batch.topic in self.processors]
        purges = [batch for batch in batches if batch.topic not in self.processors]
        arrivals: dict[tuple[str, int], dict[str, Sequence[Arrival]]] = {}
        coverage_starts_ms: dict[tuple[str, int], Mapping[int, int]] = {}
        for batch in purges:
            subjects = await self._purged(batch)
            for topic, processor in self.processors.items():
                arrivals[topic, batch.partition] = dict.fromkeys(subjects, ())
                coverage_starts_ms[topic, batch.partition] = processor.coverage_starts_ms(batch.partition)
        for batch in events:
            processor, place = self.processors[batch.topic], (batch.topic, batch.partition)
            coverage_starts_ms[place] = await processor.ensure_coverage_starts(batch.partition, at_beginning=batch.start == 0)
            found, rejected = processor.arrivals(batch)
            await self.dead_letters.put(batch, rejected)
            arrivals.setdefault(place, {}).update(found)
        source_batches = [
            SourceBatch(self.processors[topic], n, found, coverage_starts_ms[topic, n])
            for (topic, n), found in arrivals.items()
        ]
        await self._apply(source_batches)
        if purges:
            await self.store.call(self.store.online.sweep, sorted({s for source_batch in source_batches for s in source_batch.arrivals}))
        now_ms = self.clock()
        for batch in events:
            EVENT_TO_SERVED.observe(now_ms, [record.timestamp_ms for record in batch.records])

    async def _purged(self, batch: FetchBatch) -> list[str]:
        """The subjects that purges name."""
        named = {record.key for record in batch.records if record.key and is_subject(record.key)}
        detail = "a purge's key is the subject to purge: 32 hex digits"
        misnamed = [Rejection(record, "invalid", detail) for record in batch.records if record.key not in named]
        await self.dead_letters.put(batch, misnamed)
        return sorted(key.decode() for key in named)

    async def _apply(self, source_batches: Sequence[SourceBatch]) -> None:
        """Fold, keep and push, until no write is refused."""
        pending = list(dict.fromkeys(subject for source_batch in source_batches for subject in source_batch.arrivals))
        while pending:
            permissions = dict(zip(pending, await self.store.read_permissions(pending), strict=True))
            now_ms = self.clock()
            folded, writes = [], list[FieldWrite]()
            for source_batch in source_batches:
                changes, of_source = await source_batch.fold(permissions, now_ms)
                folded.append((source_batch, changes))
                writes += of_source
                await asyncio.sleep(0)  # a round may have many source_batches, too
            await asyncio.gather(*(source_batch.processor.table.commit(source_batch.partition, changes) for source_batch, changes in folded))
            outcome = await self.store.call(self.store.online.write, writes, now_ms) if writes else []
            pending = sorted(
                {w.subject for w, became in zip(writes, outcome, strict=True) if became is WriteOutcome.REFUSED}
            )
        for source_batch in source_batches:
            for outcome, number in (source_batch.outcomes or {}).items():
                OUTCOMES[outcome].labels(source_batch.processor.source.name).inc(number)
