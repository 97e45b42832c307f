"""Streams without Kafka: the processor of each source over a table in memory, writing to a real store."""

import time
from collections.abc import Iterable, Mapping, Sequence

from bench.populations import TimedEvent
from featurestore import names
from featurestore.definitions import Registry
from featurestore.identity import subject_of
from featurestore.permission import Permission, PurposePermission
from featurestore.store.protocol import new_incarnation
from featurestore.store.redis import RedisStore
from streams.dead_letters import Rejection
from streams.fetch_batches import FetchBatch, KafkaRecord
from streams.processing import MicroBatchProcessor, SourceProcessor
from streams.retrying_store import RetryingStore

FOR_EVER_MS = 10**10


class Table:
    """A state table without Kafka, of one partition; it is its own ``contents``."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.contents = self

    def read(self, partition: int, key: bytes) -> bytes | None:
        return self.kept.get(key)

    def read_many(self, partition: int, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        return {key: self.kept[key] for key in keys if key in self.kept}

    async def commit(self, partition: int, changes: Mapping[bytes, bytes | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self.kept.pop(key, None)
            else:
                self.kept[key] = value


class NoDeadLetters:
    """Dead-letter writer of a population in which no event is rejected."""

    async def put(self, batch: FetchBatch, rejected: Sequence[Rejection]) -> None:
        if rejected:
            raise ValueError(f"an event of the population is refused: {rejected[0].detail}")


class Offline:
    """Workers' processing of events, ``batch_events`` of a source at a time. ``tables`` by source; ``subjects`` with
    events; ``cpu_s`` is the processor time of their micro-batches.
    """

    def __init__(self, registry: Registry, url: str, batch_events: int = 20_000):
        self.batch_events, self.cpu_s = batch_events, 0.0
        self.store = RedisStore(url, 5_000)
        claim = new_incarnation(self.store.run())._replace(epoch=1)
        self.store.write_claim(claim, self.store.vouching_record().claim)
        self.store.vouch(claim, self.store.now_ms() + FOR_EVER_MS)
        self.now_ms = 0
        self.tables = {name: Table() for name in registry.sources}
        self.purposes = sorted({purpose for view in registry.views.values() for purpose in view.purposes})
        self.subjects: list[str] = []
        processors = {
            names.events(name, 1): SourceProcessor(
                source, registry, self.tables[name], generation=1, partitions=1, clock=lambda: self.now_ms
            )
            for name, source in registry.sources.items()
        }
        store = RetryingStore(self.store)
        self.processor = MicroBatchProcessor(processors, store, NoDeadLetters(), lambda: self.now_ms)

    async def fold(self, events: Sequence[TimedEvent]) -> None:
        """Fold the events of customers who allow everything. Raises ValueError for one that is refused."""
        customers = {one.customer_id: subject_of(one.customer_id, b"bench") for one in events}
        self.subjects = list(customers.values())
        since_ms = int(min(one.at for one in events).timestamp() * 1000)
        allowed = Permission(1, 1, {purpose: PurposePermission(True, 1, since_ms) for purpose in self.purposes})
        self.store.publish_permissions(dict.fromkeys(self.subjects, allowed))
        records: dict[str, list[KafkaRecord]] = {name: [] for name in self.tables}
        for i, (customer_id, source, at, data) in enumerate(events):
            subject, mine = customers[customer_id], records[source.name]
            raw = source.encode(id=str(i), source="bench", subject=subject, time=at, data=data)
            mine.append(KafkaRecord(len(mine), int(at.timestamp() * 1000), subject.encode(), raw))
        self.now_ms = max(record.timestamp_ms for mine in records.values() for record in mine)
        began_s = time.process_time()
        for name, mine in records.items():
            for start in range(0, len(mine), self.batch_events):
                some = mine[start : start + self.batch_events]
                await self.processor.handle([FetchBatch(names.events(name, 1), 0, start, some)])
        self.cpu_s += time.process_time() - began_s
