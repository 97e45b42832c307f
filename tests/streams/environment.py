"""Environment of processing tests: table, store, processor and reader of one partition, without Kafka."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from faust.types import TP

from featurestore.definitions import FeatureService, FeatureView, Registry
from featurestore.permission import Permission, PurposePermission
from featurestore.serving.answer import Answer, Status
from featurestore.serving.reader import FeatureReader
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import Node, Watermark
from featurestore.tiles.state_record import StateRecord, decode
from streams import coverage
from streams.dead_letters import Rejection
from streams.fetch_batches import FetchBatch, KafkaRecord
from streams.partition_queues import PartitionQueues
from streams.passed_by import PassedByWriter
from streams.processing import MicroBatchProcessor, SourceProcessor
from streams.republisher import Republisher
from streams.retrying_store import RetryingStore
from streams.watermarks import WatermarkPublisher
from tests.kit.purchases import EPOCH_S, Purchase, iso, purchases, spend
from tests.kit.state_tables import MemoryStateTable
from tests.kit.stores import begin_incarnation, vouch

NOW_MS = EPOCH_S * 1000
ANN, BOB = "00000000" + "a" * 24, "00000000" + "b" * 24  # both of partition 0
SERVICE = FeatureService("chat", [spend], purpose="service")
TOPIC, PURGE = "events.purchases.g1", "purge.g1"
KEPT: dict[str, Any] = {"allowed": True, "grant_id": 1, "since_ms": 0}


class DeadLetterCollector:
    """Writer of dead letters that collects them."""

    def __init__(self) -> None:
        self.rejections: list[Rejection] = []

    async def put(self, batch: FetchBatch, rejections: Iterable[Rejection]) -> None:
        self.rejections += rejections


def fill(node: Node) -> None:
    """Claim and vouch as the store verifier does for a new store incarnation."""
    begin_incarnation(node)
    vouch(node, expiry_ms=10**9)


class ProcessingEnvironment:
    """A processor of purchases on a store, in memory as a rule, and a reader of that store."""

    def __init__(
        self, store: Any = None, views: Sequence[FeatureView] = (spend,), passed_by: PassedByWriter | None = None
    ) -> None:
        self.views, self.passed_by = views, passed_by
        self.store, self.table, self.dead_letters = store or MemoryStore(), MemoryStateTable(), DeadLetterCollector()
        for node in self.store.nodes():
            fill(node)
        self.now_ms, self.offset, self.sequence = NOW_MS, 0, 0
        self.queues = PartitionQueues()
        self.micro_batches = self.new_worker()

    def new_worker(self, generation: int = 1, first_ms: int = 0) -> MicroBatchProcessor:
        clock = lambda: self.now_ms  # noqa: E731
        self.retrying, self.generation = RetryingStore(self.store), generation
        self.processor = SourceProcessor(
            purchases,
            Registry([purchases, *self.views]),
            self.table,
            generation=generation,
            partitions=8,
            first_ms=first_ms,
            clock=clock,
        )
        return MicroBatchProcessor({TOPIC: self.processor}, self.retrying, self.dead_letters, clock, self.passed_by)

    def start_generation(self, generation: int, first_ms: int) -> None:
        """Start a generation with an empty table, from whose first event on events count since a time."""
        self.table, self.offset = MemoryStateTable(), 0
        self.micro_batches = self.new_worker(generation, first_ms)

    def empty(self) -> None:
        """Restart the store without data, as a new incarnation that is vouched for."""
        self.store.restart(emptied=True)
        fill(self.store)

    def published(self, subject: str = ANN, meanwhile: Callable[[], None] = lambda: None) -> Status:
        """The status that a reader gets after watermarks were published and republications have ended."""

        async def publish() -> None:
            republisher = Republisher(self.queues, self.retrying, lambda: self.now_ms)
            watermarks = WatermarkPublisher({TOPIC: self.processor}, self.queues, self.retrying, republisher, 1)
            await watermarks.publish({TP(TOPIC, 0): self.now_ms})
            meanwhile()
            while republisher.reason:
                await asyncio.sleep(0)
            await watermarks.publish({TP(TOPIC, 0): self.now_ms})

        asyncio.run(publish())
        return self.read(subject).views["spend"].status

    def permit(
        self, subject: str = ANN, *, allowed: bool = True, grant_id: int = 1, since_ms: int = 0, until_ms: int = 0
    ) -> None:
        self.sequence += 1
        held = PurposePermission(allowed, grant_id, since_ms, until_ms)
        self.store.publish_permissions({subject: Permission(1, self.sequence, {"service": held})})

    def pause(self, subject: str = ANN) -> None:
        self.sequence += 1
        paused = PurposePermission(False, 1, 0, paused=True)
        self.store.publish_permissions({subject: Permission(1, self.sequence, {"service": paused})})

    def fill(self) -> None:
        fill(self.store)

    def state(self, subject: str = ANN) -> StateRecord:
        """The state record of a subject."""
        return decode(self.table.values[subject.encode()])

    def put_again(self, subject: str = ANN, **held: Any) -> bool:
        """Put the same permission again, as the consent audit does; whether none was stored."""
        permission = Permission(1, self.sequence, {"service": PurposePermission(**KEPT | held)})
        return bool(self.store.publish_permissions({subject: permission}, now_ms=self.now_ms)[subject].recreated)

    def raw(
        self,
        subject: str = ANN,
        *,
        number: int | None = None,
        at_ms: int = NOW_MS,
        amount: int = 5,
        item: str | None = None,
    ) -> bytes:
        data = Purchase(kind="bought", amount=Decimal(amount), item=item)
        event_id = f"e{self.offset if number is None else number}"
        return purchases.encode(id=event_id, source="shop", subject=subject, time=iso(at_ms), data=data)

    def record(self, raw: bytes, subject: str = ANN, headers: Sequence[tuple[str, bytes]] = ()) -> KafkaRecord:
        self.offset += 1
        return KafkaRecord(self.offset - 1, NOW_MS, subject.encode(), raw, headers)

    def batch(self, *records: KafkaRecord) -> FetchBatch:
        return FetchBatch(TOPIC, 0, records[0].offset, list(records))

    def fold(self, *records: KafkaRecord) -> FetchBatch:
        batch = self.batch(*records)
        asyncio.run(self.micro_batches.handle([batch]))
        self.queues.applied[TP(TOPIC, 0)] = batch.last_offset + 1
        self.advance_watermark(batch.last_offset)
        return batch

    def purge(self, *subjects: str) -> None:
        purges = [KafkaRecord(i, NOW_MS, subject.encode(), None) for i, subject in enumerate(subjects)]
        asyncio.run(self.micro_batches.handle([FetchBatch(PURGE, 0, 0, purges)]))

    def advance_watermark(self, offset: int) -> None:
        """Publish a watermark, as ``streams.watermarks`` does."""
        coverage_starts_ms = coverage.decode(self.table.contents.read(0, coverage.KEY))
        for node in self.store.nodes():
            (state,) = node.read((), (), (), 1_000).nodes
            node.advance_watermark(
                "purchases", 0, Watermark(self.generation, offset, self.now_ms, coverage_starts_ms, state.incarnation)
            )

    def read(self, subject: str = ANN) -> Answer:
        reader = FeatureReader(self.store, 8)
        return reader.read(SERVICE, "service", [subject], now_ms=self.now_ms, timeout_ms=1_000)[0]

    def count(self, subject: str = ANN) -> int | None:
        answer = self.read(subject)
        return answer.features["spend_count_1h"] if answer.views["spend"].status is Status.PRESENT else None
