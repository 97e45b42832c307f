"""The heart of a worker: bundles of events folded into tables and pushed to the store, purges carried out.

For each bundle: permissions of its subjects (one pipeline), fold, one changelog record a changed subject, acknowledged,
table, one fenced write a field (one pipeline). A crash anywhere replays: what a record has applied is skipped, and what
is skipped is written to the store again. A write that the store refuses, because the permission changed after it was
read, sends its subject back to where it was before the bundle, to be folded again under the new one.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from featurestore.definitions import Event, EventSource, InvalidEvent, Registry
from featurestore.identity import partition_of
from featurestore.online.store import FieldWrite, Written
from featurestore.permission import Grant, Permission, current
from featurestore.tiles.fold import Arrival, SourceFold
from featurestore.tiles.ladder import SLACK_S
from featurestore.tiles.served import STAMP, ServedLayout
from featurestore.tiles.state import ENCODER, Record, decode, edition_of, field_name
from streams import births
from streams.bundles import Bundle
from streams.bundles import Record as KafkaRecord
from streams.changelog import LARGEST_VALUE_BYTES
from streams.deadletters import DeadLetters, Rejected
from streams.gate import Gate
from streams.metrics import EVENT_TO_SERVED, FATES
from streams.tables import StateTable

EMPTY = Record()
STEP_RECORDS = 1_000  # folded at once: some 50 ms in which the event loop does nothing else
REBUILD_BATCH = 500


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Folder:
    """Folds one source's events; one a source and worker, called for one bundle a partition at a time."""

    def __init__(
        self,
        source: EventSource,
        registry: Registry,
        table: StateTable,
        gate: Gate,
        dead_letters: DeadLetters,
        *,
        generation: int,
        partitions: int,
        clock: Callable[[], int] = clock_ms,
    ):
        self.source, self.table, self.gate, self.dead_letters = source, table, gate, dead_letters
        self.generation, self.partitions, self.clock = generation, partitions, clock
        self.views = registry.views_of(source.name)
        self.purposes = sorted({purpose for view in self.views for purpose in view.purposes})
        self.fold = SourceFold(self.views)
        self.layouts = {
            field_name(view.name, purpose): (purpose, ServedLayout(view))
            for view in self.views
            for purpose in view.purposes
        }

    async def events(self, bundle: Bundle) -> None:
        """Fold a bundle. When it returns, everything of it is durable and served, or a dead letter."""
        births_ms = await self.births(bundle.partition, at_beginning=bundle.start == 0)
        for start in range(0, len(bundle), STEP_RECORDS):
            step = bundle.records[start : start + STEP_RECORDS]
            await self._apply(bundle.partition, await self._arrivals(bundle, step), births_ms)
            now_ms = self.clock()
            for record in step:
                EVENT_TO_SERVED.observe((now_ms - record.timestamp_ms) / 1000)

    async def purge(self, partition: int, subjects: Sequence[str]) -> None:
        """Drop what the subjects' permissions no longer hold; the offsets stay, so that no replay brings it back."""
        kept = [subject for subject in subjects if self.table.get(partition, subject.encode()) is not None]
        await self._apply(
            partition, {subject: [] for subject in kept}, births.decode(self.table.get(partition, births.KEY))
        )

    async def rebuild(self, partition: int) -> int:
        """Push every value of a partition to the store; how many fields were written."""
        written, batch = 0, list[FieldWrite]()
        known = births.decode(self.table.get(partition, births.KEY))
        editions = {edition_of(fingerprint, birth_ms) for fingerprint, birth_ms in known.items()}
        for key, raw in self.table.items(partition):
            if key == births.KEY:
                continue
            record = decode(raw)
            record.views = {name: state for name, state in record.views.items() if state.edition in editions}
            batch += self._writes(key.decode(), record)
            if len(batch) >= REBUILD_BATCH:
                written += await self._push(batch)
                batch = []
        return written + await self._push(batch)

    async def births(self, partition: int, *, at_beginning: bool) -> dict[int, int]:
        """Since when the partition folds each view, by fingerprint; one that is new to it is born now."""
        known = births.decode(self.table.get(partition, births.KEY))
        begins_ms = 0 if at_beginning and not known else self.clock() + SLACK_S * 1000 + 1
        births_ms = {view.fingerprint: known.get(view.fingerprint, begins_ms) for view in self.views}
        if births_ms != known:
            await self.table.commit(partition, {births.KEY: births.encode(births_ms)})
        return births_ms

    async def _arrivals(self, bundle: Bundle, records: Sequence[KafkaRecord]) -> dict[str, list[Arrival]]:
        """The records' events by subject; what can't be folded becomes a dead letter with its reason."""
        arrivals: dict[str, list[Arrival]] = {}
        rejected: list[Rejected] = []
        for record in records:
            try:
                event = self._event(bundle.partition, record)
            except InvalidEvent as error:
                rejected.append(Rejected(record, error.reason, str(error)))
            else:
                arrivals.setdefault(event.subject, []).append(Arrival(record.offset, record.timestamp_ms, event))
        await self.dead_letters.put(bundle, rejected)
        return arrivals

    def _event(self, partition: int, record: KafkaRecord) -> Event:
        if record.value is None:
            raise InvalidEvent("record has no value")
        if record.timestamp_ms < 0:
            raise InvalidEvent("record has no timestamp")
        event = self.source.decode(record.value)
        if record.key != event.subject.encode() or partition_of(event.subject, self.partitions) != partition:
            raise InvalidEvent("record's key or partition is not its subject's", "misplaced")
        ahead_ms = event.time_ms - record.timestamp_ms
        if ahead_ms > SLACK_S * 1000:
            raise InvalidEvent(
                f"time is {ahead_ms // 1000} s ahead of Kafka's, at most {SLACK_S} s are taken", "future"
            )
        return event

    async def _apply(
        self,
        partition: int,
        arrivals: Mapping[str, Sequence[Arrival]],
        births_ms: Mapping[int, int],
    ) -> None:
        """Fold, keep and push, until no write is refused."""
        kept = self.table.get_many(partition, (subject.encode() for subject in arrivals))
        before = {subject: decode(raw) if (raw := kept.get(subject.encode())) else EMPTY for subject in arrivals}
        pending, rounds = list(arrivals), list[Counter[str]]()
        while pending:
            counts = Counter[str]()
            rounds.append(counts)
            permissions = await self.gate.permissions(pending)
            now_ms = self.clock()
            writes: list[FieldWrite] = []
            changes: dict[bytes, bytes | None] = {}
            for subject, permission in zip(pending, permissions, strict=True):
                grants = self._grants(permission, now_ms)
                key = subject.encode()
                new = self.fold.fold(before[subject], arrivals[subject], grants, births_ms=births_ms, counts=counts)
                if not (new.views or key in kept):
                    continue  # nothing is kept of a subject without permission
                raw = self._fitting(new, counts)
                if raw != kept.get(key):
                    changes[key] = kept[key] = raw
                writes += self._writes(subject, new)
            await self.table.commit(partition, changes)
            outcome = await self.gate.call(self.gate.store.write, writes, now_ms)
            refused = {w.subject for w, became in zip(writes, outcome, strict=True) if became is Written.REFUSED}
            pending = sorted(refused)
        for fate, number in rounds[0].items() if rounds else ():
            FATES[fate].labels(self.source.name).inc(number)

    @staticmethod
    def _fitting(record: Record, counts: Counter[str]) -> bytes:
        """The record's bytes; views that make it larger than the changelog takes are given up, the largest first."""
        while len(raw := record.encode()) > LARGEST_VALUE_BYTES:
            largest = max(record.views, key=lambda name: len(ENCODER.encode(record.views[name])))
            del record.views[largest]
            counts["oversized"] += 1
        return raw

    def _grants(self, permission: Permission | None, now_ms: int) -> dict[str, Grant]:
        allowed = ((purpose, current(permission, purpose, now_ms)) for purpose in self.purposes)
        return {purpose: grant for purpose, grant in allowed if isinstance(grant, Grant)}

    def _writes(self, subject: str, record: Record) -> Iterable[FieldWrite]:
        bodies: dict[int, bytes] = {}
        for name, state in record.views.items():
            purpose, layout = self.layouts[name]
            if (body := bodies.get(id(state.tiles))) is None:
                body = bodies[id(state.tiles)] = layout.body(state)
            stamp = STAMP.pack(self.generation, record.offset, state.grant)
            yield FieldWrite(subject, name, purpose, stamp + body)

    async def _push(self, writes: Sequence[FieldWrite]) -> int:
        outcome = await self.gate.call(self.gate.store.write, writes, self.clock()) if writes else []
        return sum(became is Written.DONE for became in outcome)
