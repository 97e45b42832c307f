"""Processing of a micro-batch: events folded into tables and pushed to the store, purges carried out.

1. The permissions of all its subjects are read, in one pipeline.
2. Each subject's events are folded into its state record, for the purposes that are allowed. Of paused ones it is kept.
3. One changelog record a changed subject is written; when all are acknowledged, they go into the tables.
4. One fenced write a changed field goes to the store, in one pipeline.

A crash anywhere replays. The events that a state record has applied already are skipped, and the fields of a subject
with skipped events are written again, because the crash may have come between table and store (trap 5 of
docs/decisions/faust-traps.md). If the store does not allow a write, the permission changed after it was read: the
subject is folded again under the new one, from its state record before the micro-batch.

A permission without any purpose is what an erasure leaves: the state record is deleted, by a tombstone. Of others the
last offset stays. No replay restores what was deleted: whatever is granted later starts later than these events.

Only a permission that is stored drops state. A subject without one, in a store that is vouched for, is passed by: its
events are skipped and counted, its purge changes no table. Its hash may have vanished; the consent audit puts the
permission again and sends a purge, at which every value of the subject is written again. Before a subject is passed
by, it is written to a topic, since nothing else tells that events are missing, or a purge was not carried out, if the
store is emptied meanwhile (``streams.passed_by``).

The values of an idle subject may have been evicted from the store, which its mark tells. A purge writes them again, of
every source and paused purposes included, and removes the mark; so does the subject's next event.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from featurestore.definitions import Event, EventSource, InvalidEvent, Registry
from featurestore.definitions.windows import MAX_CLOCK_SKEW_S
from featurestore.first_timestamp import MalformedHeader, first_timestamp_ms
from featurestore.identity import is_subject, partition_of
from featurestore.permission import Permission, PurposePermission, held
from featurestore.store.protocol import EVICTED_MS, WHATEVER_IS_KEPT, FieldWrite, WriteOutcome, marked_ms
from featurestore.tiles.fold import Arrival, SourceFold
from featurestore.tiles.layout_id import layout_id_in, layout_id_of
from featurestore.tiles.state_record import StateRecord, UnknownFormat, decode
from featurestore.tiles.stored_field import field_name, pack_field
from streams import coverage
from streams.dead_letters import DeadLetterWriter, Rejection
from streams.evictions import evicted_subjects
from streams.fetch_batches import FetchBatch, KafkaRecord
from streams.metrics import EVENT_TO_SERVED, OUTCOMES, RECREATED, RESTORED
from streams.passed_by import NO_CHANGES, Changes, PassedByWriter, Skipped
from streams.retrying_store import RetryingStore
from streams.tables import StateTable

EMPTY = StateRecord()
LEASE_PROOF = b"\0lease"  # a key that no table holds, so that its deletion changes nothing
SUBJECTS_PER_STEP = 100  # folded at once: tens of milliseconds in which the event loop does nothing else

Arrivals = Mapping[str, Sequence[Arrival]]
SourcePartition = tuple[str, int]  # event topic, partition


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


class SourceProcessor:
    """Processor of one source's events: it decodes and folds them and composes the fields to store. One a worker."""

    def __init__(
        self,
        source: EventSource,
        registry: Registry,
        table: StateTable,
        *,
        generation: int,
        partitions: int,
        first_ms: int = 0,
        clock: Callable[[], int] = clock_ms,
    ):
        self.source, self.table, self.first_ms = source, table, first_ms
        self.generation, self.partitions, self.clock = generation, partitions, clock
        self.views = registry.views_of(source.name)
        self.purposes = sorted({purpose for view in self.views for purpose in view.purposes})
        self.fold = SourceFold(self.views)
        self.codecs = {view.name: view.codec for view in self.fold.views}

    async def ensure_coverage_starts(self, partition: int, *, at_beginning: bool) -> dict[int, int]:
        """The coverage starts, by the view's fingerprint; that of a view new to the partition is stored now."""
        known = self.coverage_starts_ms(partition)
        fingerprints = (view.fingerprint for view in self.views)
        coverage_starts_ms = coverage.extend(
            known, fingerprints, self.clock(), at_beginning=at_beginning, first_ms=self.first_ms
        )
        if coverage_starts_ms != known:
            await self.table.commit(partition, {coverage.KEY: coverage.encode(coverage_starts_ms)})
        return coverage_starts_ms

    def coverage_starts_ms(self, partition: int) -> dict[int, int]:
        contents = self.table.contents
        raw = contents.read(partition, coverage.KEY)
        if raw is None and contents.read(partition, coverage.OUTDATED_KEY) is not None:
            raise UnknownFormat(
                f"partition {partition} of {self.source.name} has a table of a version before 0.2: "
                "start a new generation (RAPPORT_GENERATION one higher), then `python -m streams topics apply`"
            )
        return coverage.decode(raw)

    def arrivals(self, batch: FetchBatch) -> tuple[dict[str, list[Arrival]], list[Rejection]]:
        """The batch's events by subject, and the Kafka records that can't be folded, with the reasons."""
        arrivals: dict[str, list[Arrival]] = {}
        rejections: list[Rejection] = []
        for record in batch.records:
            try:
                event = self._event(batch.partition, record)
                kafka_ms = record.timestamp_ms
                first_ms = first_timestamp_ms(record.headers, kafka_ms) if record.headers else kafka_ms
            except InvalidEvent as error:
                rejections.append(Rejection(record, error.reason, str(error)))
            except MalformedHeader as error:
                rejections.append(Rejection(record, "invalid", str(error)))
            else:
                arrivals.setdefault(event.subject, []).append(Arrival(record.offset, first_ms, event))
        return arrivals, rejections

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

    def held_purposes(self, permission: Permission, now_ms: int) -> dict[str, PurposePermission]:
        """The purposes whose state is kept: those that a permission allows now, and paused ones (also: those whose time
        is over without a recorded end)."""
        return {purpose: found for purpose in self.purposes if (found := held(permission, purpose, now_ms))}

    def writes(
        self,
        subject: str,
        record: StateRecord,
        before: StateRecord = EMPTY,
        aggregates: Mapping[bytes, bytes] | None = None,
    ) -> Iterable[FieldWrite]:
        """The fields of a record that differ from ``before``. ``aggregates``: suffix aggregates by tiles, as folded."""
        aggregates = aggregates or {}
        for view, states in record.views.items():
            if states == before.views.get(view):
                continue
            for stored in states:
                suffix_aggregates = aggregates.get(stored.tiles) or self.codecs[view].suffix_aggregates(stored.tiles)
                for purpose, grant_id in stored.grant_ids.items():
                    value = pack_field(self.generation, record.offset, grant_id, suffix_aggregates, stored.unchecked_s)
                    yield FieldWrite(subject, field_name(view, purpose), purpose, value)

    def stored_fields(self, partition: int, keys: Iterable[bytes]) -> Iterable[FieldWrite]:
        """Every field of some subjects, as the table has them: what a republication pushes."""
        coverage_starts_ms = self.coverage_starts_ms(partition)
        covered = [view for view in self.views if view.fingerprint in coverage_starts_ms]
        layout_ids = {
            view.name: layout_id_of(view.fingerprint, coverage_starts_ms[view.fingerprint]) for view in covered
        }
        for key, raw in self.table.contents.read_many(partition, keys).items():
            record = decode(raw)
            views = {
                name: [stored for stored in states if layout_id_in(stored.tiles) == layout_ids.get(name)]
                for name, states in record.views.items()
            }
            yield from self.writes(key.decode(), StateRecord(record.offset, views=views))


class SourceBatch:
    """One source's part of a micro-batch in one partition: its subjects' events and earlier state records.

    Of the subjects in ``purged`` every field is written, changed or not, and of a paused purpose, too: it is kept.
    """

    def __init__(
        self,
        processor: SourceProcessor,
        partition: int,
        arrivals: Arrivals,
        coverage_starts_ms: Mapping[int, int],
        purged: Collection[str] = (),
    ):
        self.processor, self.partition, self.purged = processor, partition, purged
        self.arrivals, self.coverage_starts_ms = arrivals, coverage_starts_ms
        self.stored = processor.table.contents.read_many(partition, [subject.encode() for subject in arrivals])
        self.before = {
            subject: decode(raw) if (raw := self.stored.get(subject.encode())) else EMPTY for subject in arrivals
        }
        self.outcomes = Counter[str]()  # of each subject's first fold; a second one would count the same events again
        self.folded: set[str] = set()

    def skipped(self, subjects: Iterable[str]) -> Iterable[Skipped]:
        """What is skipped of subjects without a stored permission: events that were not applied before, and purges of
        state records."""
        for subject in subjects:
            if subject not in self.arrivals:
                continue
            applied = self.before[subject].offset
            new_ms = [one.kafka_ms for one in self.arrivals[subject] if one.offset > applied]
            purge = subject in self.purged and subject.encode() in self.stored
            if new_ms or purge:
                yield Skipped(subject, max(new_ms, default=-1), purge)

    async def fold(
        self, permissions: Mapping[str, Permission | None], now_ms: int
    ) -> tuple[dict[bytes, bytes | None], list[FieldWrite], list[FieldWrite]]:
        """Fold the subjects named in ``permissions``, each from its record before: (table changes, writes, writes of
        values that are kept)."""
        processor = self.processor
        changes: dict[bytes, bytes | None] = {}
        writes: list[FieldWrite] = []
        kept_writes: list[FieldWrite] = []
        for number, subject in enumerate([subject for subject in self.arrivals if subject in permissions], 1):
            if number % SUBJECTS_PER_STEP == 0:
                await asyncio.sleep(0)
            before, arrivals, key = self.before[subject], self.arrivals[subject], subject.encode()
            again = subject in self.folded
            counts = Counter[str]() if again else self.outcomes
            self.folded.add(subject)
            if (permission := permissions[subject]) is None:
                count_passed_by(before, arrivals, counts)
                continue
            kept = processor.held_purposes(permission, now_ms)
            record, aggregates = processor.fold.fold_events(
                before, arrivals, kept, coverage_starts_ms=self.coverage_starts_ms, counts=counts
            )
            if not (record.views or key in self.stored):
                continue  # nothing was stored, and without permission nothing is
            raw = record.encode() if record.views or permission.purposes else None
            if raw is None:
                changes[key] = None
                self.stored.pop(key, None)
            elif raw != self.stored.get(key):
                changes[key] = self.stored[key] = raw
            every = again or subject in self.purged or arrivals[0].offset <= before.offset
            fields = processor.writes(subject, record, EMPTY if every else before, aggregates)
            if any(permission.paused for permission in kept.values()):
                fields = list(fields)
                if subject in self.purged:
                    kept_writes += (field for field in fields if not kept[field.purpose].allowed)
                fields = (field for field in fields if kept[field.purpose].allowed)
            writes += fields
        return changes, writes, kept_writes


def count_passed_by(record: StateRecord, arrivals: Sequence[Arrival], counts: Counter[str]) -> None:
    """Count the events of a subject without a stored permission; the record stays as it is."""
    skipped = sum(arrival.offset <= record.offset for arrival in arrivals)
    counts["skipped"] += skipped
    counts["events"] += len(arrivals) - skipped
    counts["no_permission"] += len(arrivals) - skipped


class MicroBatchProcessor:
    """Handler of micro-batches. ``processors``: by event topic. A Kafka record of any other topic purges its key.

    ``passed_by``: the writer of subjects whose events are skipped; without it they are not written.
    """

    def __init__(
        self,
        processors: Mapping[str, SourceProcessor],
        store: RetryingStore,
        dead_letters: DeadLetterWriter,
        clock: Callable[[], int] = clock_ms,
        passed_by: PassedByWriter | None = None,
    ):
        self.processors, self.store, self.dead_letters, self.clock = processors, store, dead_letters, clock
        self.passed_by = passed_by

    async def handle(self, batches: Sequence[FetchBatch]) -> None:
        """When it returns, every event is in changelog and store or a dead letter, and every purge is carried out."""
        events = [batch for batch in batches if batch.topic in self.processors]
        purges = [batch for batch in batches if batch.topic not in self.processors]
        purged: dict[int, Sequence[str]] = {batch.partition: await self._purged_subjects(batch) for batch in purges}
        arrivals = self._purges(purged)
        coverage_starts_ms: dict[SourcePartition, Mapping[int, int]] = {
            (topic, n): self.processors[topic].coverage_starts_ms(n) for topic, n in arrivals
        }
        for batch in events:
            processor, tp = self.processors[batch.topic], (batch.topic, batch.partition)
            coverage_starts_ms[tp] = await processor.ensure_coverage_starts(
                batch.partition, at_beginning=batch.start == 0
            )
            found, rejections = processor.arrivals(batch)
            await self.dead_letters.put(batch, rejections)
            arrivals.setdefault(tp, {}).update(found)
        await self._process(arrivals, coverage_starts_ms, purged)
        now_ms = self.clock()
        for batch in events:
            EVENT_TO_SERVED.observe(now_ms, [record.timestamp_ms for record in batch.records])

    async def purge(self, partition: int, subjects: Sequence[str]) -> None:
        """Purge subjects of a partition, which no micro-batch uses meanwhile."""
        arrivals = self._purges({partition: subjects})
        starts_ms = {(topic, n): self.processors[topic].coverage_starts_ms(n) for topic, n in arrivals}
        await self._process(arrivals, starts_ms, {partition: subjects})

    def _purges(self, purged: Mapping[int, Sequence[str]]) -> dict[SourcePartition, dict[str, Sequence[Arrival]]]:
        """A fold of no events for each subject to purge, in every source."""
        return {(topic, n): dict.fromkeys(subjects, ()) for n, subjects in purged.items() for topic in self.processors}

    async def _process(
        self,
        arrivals: Mapping[SourcePartition, Arrivals],
        coverage_starts_ms: Mapping[SourcePartition, Mapping[int, int]],
        purged: Mapping[int, Sequence[str]],
    ) -> None:
        parts = [
            SourceBatch(self.processors[topic], n, found, coverage_starts_ms[topic, n], frozenset(purged.get(n, ())))
            for (topic, n), found in arrivals.items()
        ]
        marks = await self._apply(parts)
        if purged:
            await self._finish_purges(purged, marks)
        if any(marks.values()) and (evicted := evicted_subjects(marks, parts, purged)):
            for partition, subjects in evicted.items():
                await self.purge(partition, subjects)

    async def _purged_subjects(self, batch: FetchBatch) -> list[str]:
        """The subjects that a batch of purges names."""
        named = {record.key for record in batch.records if record.key and is_subject(record.key)}
        detail = "a purge's key is the subject to purge: 32 hex digits"
        rejections = [Rejection(record, "invalid", detail) for record in batch.records if record.key not in named]
        await self.dead_letters.put(batch, rejections)
        return sorted(key.decode() for key in named)

    async def _finish_purges(self, purged: Mapping[int, Iterable[str]], marks: Mapping[str, bytes | None]) -> None:
        """Drop what no permission allows from the store, and the recreation marks: every value was written again.

        A worker that was replaced without noticing it has an old table, whose values must not pass for all there are.
        So the lease is proved between the writes and the removal of marks: its changelog record would be refused.
        """
        for partition, subjects in purged.items():
            for processor in self.processors.values():
                processor.table.contents.note_purge(partition)
            if marked := [mark for subject in subjects if (mark := marks[subject]) is not None]:
                processor = next(iter(self.processors.values()))
                await processor.table.commit(partition, {LEASE_PROOF: None})
                restored = sum(marked_ms(mark) == EVICTED_MS for mark in marked)
                RESTORED.inc(restored)
                RECREATED.inc(len(marked) - restored)
        everyone = sorted(subject for subjects in purged.values() for subject in subjects)
        await self.store.call(self.store.online.drop_disallowed, {subject: marks[subject] for subject in everyone})

    async def _apply(self, parts: Sequence[SourceBatch]) -> dict[str, bytes | None]:
        """Fold, commit to the tables and write to the store, until every write is allowed.

        Returns the subjects' recreation and eviction marks, as read before the writes.
        """
        pending = list(dict.fromkeys(subject for part in parts for subject in part.arrivals))
        marks: dict[str, bytes | None] = {}
        while pending:
            # Read again each time: between this read and the write the permission may change; then the store's script
            # does not allow the write. If it vanished, the subject is passed by, and nothing of it is written.
            stored = dict(zip(pending, await self.store.read_subjects(pending), strict=True))
            permissions = {subject: one.permission for subject, one in stored.items()}
            marks.update((subject, one.recreation_mark) for subject, one in stored.items())
            passed_by = self._passed_by(parts, permissions)
            for subject in passed_by.subjects:
                del permissions[subject]  # read again when it is written
            now_ms = self.clock()
            folded, writes, kept_writes = [], list[FieldWrite](), list[FieldWrite]()
            for part in parts:
                changes, of_part, kept_of_part = await part.fold(permissions, now_ms)
                folded.append((part, changes))
                writes += of_part
                kept_writes += kept_of_part
                await asyncio.sleep(0)  # a micro-batch may have many parts, too
            commits = [part.processor.table.commit(part.partition, changes) for part, changes in folded]
            if self.passed_by and any(passed_by):
                commits.append(self.passed_by.write(passed_by))
            await asyncio.gather(*commits)
            refused = await self._write(writes, now_ms) | await self._write(kept_writes, WHATEVER_IS_KEPT)
            pending = sorted({*passed_by.subjects, *refused})
        for part in parts:
            for outcome, number in part.outcomes.items():
                OUTCOMES[outcome].labels(part.processor.source.name).inc(number)
        return marks

    async def _write(self, writes: Sequence[FieldWrite], now_ms: int) -> set[str]:
        """Write to the store; the subjects of which a write was not allowed."""
        results = await self.store.call(self.store.online.write, writes, now_ms) if writes else []
        return {one.subject for one, result in zip(writes, results, strict=True) if result is WriteOutcome.NOT_ALLOWED}

    def _passed_by(self, parts: Sequence[SourceBatch], permissions: Mapping[str, Permission | None]) -> Changes:
        """What to write before subjects are passed by, and of those that have a permission again."""
        if self.passed_by is None:
            return NO_CHANGES
        absent = [subject for subject, permission in permissions.items() if permission is None]
        skipped = (one for part in parts for one in part.skipped(absent)) if absent else ()
        return self.passed_by.changes(skipped, permissions, {subject for part in parts for subject in part.purged})
