"""The folder: what it keeps, what it pushes, and what changes of permission in between do to it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import pytest
from faust.types import TP

from featurestore.definitions import FeatureService, Registry
from featurestore.permission import Permission, PurposePermission
from featurestore.serving.answer import Answer, Status
from featurestore.serving.reader import FeatureReader
from featurestore.store.cluster import ClusterStore
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import FieldWrite, Node, Watermark, WriteOutcome
from featurestore.tiles.record import decode
from streams import coverage
from streams.dead_letters import Rejection
from streams.fetch_batches import FetchBatch, KafkaRecord
from streams.partition_queues import PartitionQueues
from streams.processing import MicroBatchProcessor, SourceProcessor
from streams.republisher import Republisher
from streams.retrying_store import RetryingStore
from streams.watermarks import WatermarkPublisher
from tests.kit.purchases import EPOCH_S, Purchase, iso, purchases, spend

NOW_MS = EPOCH_S * 1000
ANN, BOB = "00000000" + "a" * 24, "00000000" + "b" * 24  # both of partition 0
SERVICE = FeatureService("chat", [spend], purpose="service")


TOPIC, PURGE = "events.purchases.g1", "purge.g1"


class Table:
    """A state table in memory, of one partition, that lists its commits."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.commits: list[dict[bytes, bytes | None]] = []

    def get(self, partition: int, key: bytes) -> bytes | None:
        return self.kept.get(key)

    def get_many(self, partition: int, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        return {key: self.kept[key] for key in keys if key in self.kept}

    def keys_after(self, partition: int, last: bytes, most: int) -> list[bytes]:
        return sorted(key for key in self.kept if key > last)[:most]

    async def commit(self, partition: int, changes: Mapping[bytes, bytes | None]) -> None:
        self.commits.append(dict(changes))
        for key, value in changes.items():
            if value is None:
                self.kept.pop(key, None)
            else:
                self.kept[key] = value


class DeadLetterWriter:
    def __init__(self) -> None:
        self.sent: list[Rejection] = []

    async def put(self, batch: FetchBatch, rejected: Iterable[Rejection]) -> None:
        self.sent += rejected


def vouch(node: Node) -> None:
    """As a voucher does that has filled it."""
    node.write_claim(node.run(), 0, 0)
    node.write_claim(node.run(), 1, 0)
    node.vouch(node.run(), 10**9)


class Shop:
    """A folder on a store, in memory as a rule, and a reader that asks it."""

    def __init__(self, store: Any = None) -> None:
        self.store, self.table, self.dead = store or MemoryStore(), Table(), DeadLetterWriter()
        for node in self.store.nodes():
            vouch(node)
        self.now_ms, self.offset, self.sequence = NOW_MS, 0, 0
        self.queues = PartitionQueues()
        self.micro_batches = self.new_worker()

    def new_worker(self) -> MicroBatchProcessor:
        clock = lambda: self.now_ms  # noqa: E731
        self.retrying = RetryingStore(self.store)
        self.processor = SourceProcessor(
            purchases, Registry([purchases, spend]), self.table, generation=1, partitions=8, clock=clock
        )
        return MicroBatchProcessor({TOPIC: self.processor}, self.retrying, self.dead, clock)

    def empty(self) -> None:
        """The store is another run, without data, vouched for."""
        self.store.restart(emptied=True)
        vouch(self.store)

    def published(self, subject: str = ANN, meanwhile: Callable[[], None] = lambda: None) -> Status:
        """What a reader sees after the watermarks were published until no rebuild is under way."""

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

    def permit(self, subject: str = ANN, *, allowed: bool = True, grant: int = 1, until_ms: int = 0) -> None:
        self.sequence += 1
        permission = Permission(1, self.sequence, {"service": PurposePermission(allowed, grant, 0, until_ms)})
        self.store.publish_permissions({subject: permission})

    def raw(self, subject: str = ANN, *, number: int | None = None, at_ms: int = NOW_MS, amount: int = 5) -> bytes:
        data = Purchase(kind="bought", amount=Decimal(amount))
        event_id = f"e{self.offset if number is None else number}"
        return purchases.encode(id=event_id, source="shop", subject=subject, time=iso(at_ms), data=data)

    def record(self, raw: bytes, subject: str = ANN) -> KafkaRecord:
        self.offset += 1
        return KafkaRecord(self.offset - 1, NOW_MS, subject.encode(), raw)

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
        """What ``streams.watermarks`` tells readers."""
        coverage_starts_ms = coverage.decode(self.table.contents.read(0, coverage.KEY))
        for node in self.store.nodes():
            (state,) = node.read((), (), (), 1_000).nodes
            node.advance_watermark(
                "purchases", 0, Watermark(1, offset, self.now_ms, coverage_starts_ms, state.incarnation)
            )

    def read(self, subject: str = ANN) -> Answer:
        reader = FeatureReader(self.store, 8)
        return reader.read(SERVICE, "service", [subject], now_ms=self.now_ms, timeout_ms=1_000)[0]

    def count(self, subject: str = ANN) -> int | None:
        answer = self.read(subject)
        return answer.features["spend_count_1h"] if answer.views["spend"].status is Status.PRESENT else None


@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    shop.permit(ANN)
    return shop


def test_what_is_folded_is_served(shop: Shop) -> None:
    shop.fold(shop.record(shop.raw(amount=5)), shop.record(shop.raw(amount=7)))
    answer = shop.read()
    assert answer.features["spend_amount_sum_1h"] == 12
    assert answer.views["spend"].status is Status.PRESENT
    assert answer.views["spend"].age_s == 0


def test_one_changelog_record_a_changed_subject(shop: Shop) -> None:
    shop.permit(BOB)
    shop.fold(*(shop.record(shop.raw(subject), subject) for subject in (ANN, BOB) * 5))
    assert [commit.keys() for commit in shop.table.commits] == [{coverage.KEY}, {ANN.encode(), BOB.encode()}]


def test_a_burst_of_one_customer_is_one_changelog_record_and_one_write(shop: Shop) -> None:
    written: list[FieldWrite] = []
    write = shop.store.write
    shop.store.write = lambda writes, now_ms: written.extend(writes) or write(writes, now_ms)  # type: ignore[method-assign]
    shop.fold(*(shop.record(shop.raw(at_ms=NOW_MS - 10_000 + i, amount=1)) for i in range(10_000)))
    assert [commit.keys() for commit in shop.table.commits] == [{coverage.KEY}, {ANN.encode()}]
    assert len(written) == 1
    assert shop.count() == 10_000


def test_nothing_is_kept_of_a_subject_without_permission(shop: Shop) -> None:
    shop.fold(shop.record(shop.raw(BOB), BOB))
    assert BOB.encode() not in shop.table.kept
    assert shop.count(BOB) is None


def test_a_replay_folds_nothing_and_pushes_again(shop: Shop) -> None:
    batch = shop.fold(shop.record(shop.raw()))
    shop.empty()  # the crash came between the table and the store
    shop.permit()
    asyncio.run(shop.new_worker().handle([batch]))
    shop.advance_watermark(0)
    assert shop.count() == 1


class Interleaving(MemoryStore):
    """Something happens between the streams' read and their write."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile = [lambda: None]

    def write(self, writes: list[FieldWrite], now_ms: int) -> list[WriteOutcome]:
        if self.meanwhile:
            self.meanwhile.pop()()
        return super().write(writes, now_ms)


def interleaved(meanwhile: Callable[[Shop], None]) -> Shop:
    shop = Shop()
    shop.store = Interleaving()
    shop.store.write_claim(shop.store.run(), 1, 0)
    shop.store.vouch(shop.store.run(), 10**9)
    shop.micro_batches = shop.new_worker()
    shop.permit()
    shop.store.meanwhile = [lambda: meanwhile(shop)]
    return shop


def test_a_withdrawal_between_read_and_write_leaves_nothing() -> None:
    shop = interleaved(lambda shop: shop.permit(allowed=False))
    shop.fold(shop.record(shop.raw()))
    assert decode(shop.table.kept[ANN.encode()]).views == {}
    assert shop.read().views["spend"].status is Status.WITHHELD
    shop.permit(grant=2)
    assert shop.read().features["spend_count_lifetime"] == 0


def test_a_new_grant_between_read_and_write_is_folded_again_under_it() -> None:
    shop = interleaved(lambda shop: shop.permit(grant=2))
    shop.fold(shop.record(shop.raw()), shop.record(shop.raw()))
    assert shop.count() == 2
    assert decode(shop.table.kept[ANN.encode()]).views["spend"][0].grant_ids == {"service": 2}


def test_a_permission_that_ends_is_no_longer_folded_under(shop: Shop) -> None:
    shop.permit(until_ms=NOW_MS + 10)
    shop.fold(shop.record(shop.raw()))
    shop.now_ms += 10
    assert shop.read().views["spend"].reason == "expired"
    shop.fold(shop.record(shop.raw()))
    assert decode(shop.table.kept[ANN.encode()]).views == {}


def test_a_purge_drops_the_values_and_keeps_the_offset(shop: Shop) -> None:
    batch = shop.fold(shop.record(shop.raw()), shop.record(shop.raw()))
    shop.permit(allowed=False)
    shop.purge(ANN, BOB)
    assert decode(shop.table.kept[ANN.encode()]).views == {}
    assert decode(shop.table.kept[ANN.encode()]).deduplication_window == b""
    shop.permit(grant=2)
    asyncio.run(shop.micro_batches.handle([batch]))  # a replay from before the purge
    assert shop.read().features["spend_count_lifetime"] == 0


def test_a_late_purge_does_not_touch_a_new_grant(shop: Shop) -> None:
    shop.permit(allowed=False)
    shop.permit(grant=2)
    shop.fold(shop.record(shop.raw()))
    shop.purge(ANN)
    assert shop.count() == 1


def test_a_rebuild_pushes_every_value_to_an_emptied_store(shop: Shop) -> None:
    shop.permit(BOB)
    shop.fold(shop.record(shop.raw(ANN)), shop.record(shop.raw(BOB), BOB))
    shop.empty()
    shop.permit(ANN)  # Bob's permission is not there, so his values are not either
    assert shop.published() is Status.PRESENT
    assert shop.count(ANN) == 1
    assert shop.read(BOB).views["spend"].status is Status.WITHHELD


def test_a_rebuild_takes_more_subjects_than_one_batch_and_stops_where_the_partition_is_given_away(shop: Shop) -> None:
    subjects = [f"00000000{number:024x}" for number in range(1_200)]
    for subject in subjects:
        shop.permit(subject)
    shop.fold(*(shop.record(shop.raw(subject), subject) for subject in subjects))
    shop.empty()
    for subject in subjects:
        shop.permit(subject)
    assert shop.published(subjects[0], shop.queues.applied.clear) is Status.STALE
    shop.queues.applied[TP(TOPIC, 0)] = shop.offset
    assert shop.published(subjects[0]) is Status.PRESENT
    assert {shop.count(subject) for subject in subjects} == {1}


def test_the_worker_waits_for_a_store_that_is_away_and_says_why(shop: Shop) -> None:
    async def scenario() -> str | None:
        shop.store.available = False
        folding = asyncio.create_task(shop.micro_batches.handle([shop.batch(shop.record(shop.raw()))]))
        while shop.retrying.waiting_for is None:
            await asyncio.sleep(0)
        reason = shop.retrying.waiting_for
        shop.store.available = True
        await folding
        assert shop.retrying.waiting_for is None
        return reason

    assert asyncio.run(scenario()) == "store is away"
    assert decode(shop.table.kept[ANN.encode()]).offset == 0


def test_a_view_born_later_counts_from_five_minutes_after_its_birth(shop: Shop) -> None:
    shop.offset, born_ms = 7, NOW_MS + 300_001
    shop.fold(shop.record(shop.raw(at_ms=NOW_MS)))
    shop.now_ms = born_ms
    later = [shop.record(shop.raw(at_ms=at_ms))._replace(timestamp_ms=at_ms) for at_ms in (born_ms - 1, born_ms)]
    shop.fold(*later)
    assert shop.count() == 1
    assert shop.read().views["spend"].start == "2023-11-14T22:18:20.001Z"


def test_a_purge_before_the_first_event_of_a_new_view_is_carried_out(shop: Shop) -> None:
    shop.fold(shop.record(shop.raw()))
    shop.table.kept[coverage.KEY] = coverage.encode({1: 0})  # the births of an earlier definition
    shop.purge(ANN)
    assert decode(shop.table.kept[ANN.encode()]).views == {}


def test_a_view_that_is_new_to_a_partition_never_begins_with_what_was_applied_before(shop: Shop) -> None:
    batch = shop.fold(shop.record(shop.raw()))
    shop.table.kept[coverage.KEY] = coverage.encode({1: 0})
    asyncio.run(shop.micro_batches.handle([batch]))  # a replay from the beginning, after a deploy
    assert coverage.decode(shop.table.kept[coverage.KEY]) == {spend.fingerprint: NOW_MS + 300_001}


def test_a_store_that_is_emptied_while_it_is_filled_does_not_look_whole(shop: Shop) -> None:
    def emptied() -> None:
        shop.empty()
        shop.permit()

    shop.fold(shop.record(shop.raw()))
    shop.empty()
    shop.permit()
    assert shop.published(meanwhile=emptied) is Status.STALE
    assert shop.published() is Status.PRESENT
    assert shop.count() == 1


def test_values_are_pushed_again_to_the_node_that_was_filled_anew_alone(redis_cluster: str) -> None:
    store = ClusterStore(redis_cluster, 2_000)
    for node in store.nodes():
        node._execute([("FLUSHALL",)])
    shop, (new, old, _) = Shop(store), store.nodes()
    names = [f"{n:032x}" for n in range(100)]  # all of partition 0
    lost, kept = (next(name for name in names if node.owns(name)) for node in (new, old))
    for name in (lost, kept):
        shop.permit(name)
        shop.fold(shop.record(shop.raw(name), name))
    new._execute([("FLUSHALL",)])
    vouch(new)
    shop.permit(lost)
    assert shop.read(lost).views["spend"].status is Status.STALE
    assert shop.count(kept) == 1, "the other node's mark stands"
    written, write = list[str](), store.write
    shop.retrying.online.write = lambda writes, now_ms: (written.extend(w.subject for w in writes), write(writes, now_ms))[1]
    assert shop.published(lost) is Status.PRESENT
    assert written == [lost]
    assert shop.count(lost) == shop.count(kept) == 1


BAD: list[tuple[Callable[[Shop], bytes | None], str]] = [
    (lambda shop: shop.raw().replace(b'"5"', b'"much"'), "Invalid decimal string - at `$.data.amount`"),
    (lambda shop: shop.raw().replace(b'"kind"', b'"x":1,"kind"'), "Object contains an unknown field; known are kind, "),
    (lambda shop: shop.raw(at_ms=NOW_MS + 301_000), "time is 301 s ahead of Kafka's, at most 300 s are taken"),
    (lambda shop: shop.raw() + b" " * 2_000_000, "event has 2000"),
    (lambda shop: shop.raw(BOB), "record's key or partition is not its subject's"),
    (lambda shop: b"\xff\xfe", "JSON is malformed"),
    (lambda shop: b"", "Input data was truncated"),
    (lambda shop: None, "record has no value"),
]


@pytest.mark.parametrize(("change", "reason"), BAD)
def test_a_bad_event_becomes_a_dead_letter_and_its_neighbours_count(
    shop: Shop, change: Callable[[Shop], bytes | None], reason: str
) -> None:
    shop.fold(shop.record(shop.raw()), shop.record(change(shop)), shop.record(shop.raw()))
    (rejected,) = shop.dead.sent
    assert rejected.record.offset == 1
    assert rejected.detail.startswith(reason)
    assert shop.count() == 2
