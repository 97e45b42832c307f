"""Transport: the offsets that are committed, and the fetch batches that are read again."""

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP

from streams.fetch_batches import FetchBatch, KafkaRecord
from streams.transport import Consumer

pytestmark = pytest.mark.anyio

HERE = TP("events", 0)


def batch(start: int, *offsets: int) -> FetchBatch:
    return FetchBatch("events", 0, start, [KafkaRecord(offset, 0, b"k", b"v") for offset in offsets])


class ConsumerDouble:
    """Consumer without a broker; its methods are those of ``Consumer``."""

    def __init__(self, expected: dict[TP, int], earliest: int = 0, assigned: bool = True) -> None:
        self.expected = expected
        self.earliest = earliest
        self.assigned = assigned
        self.sought: list[int] = []

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, self.earliest)

    async def seek_wait(self, partitions: dict[TP, int]) -> None:
        if not self.assigned:
            raise IllegalStateError
        self.sought += partitions.values()

    async def rewind(self, positions: dict[TP, int]) -> None:
        await Consumer.rewind(self, positions)  # type: ignore[arg-type]

    async def follows(self, one: FetchBatch) -> bool:
        return await Consumer.follows(self, one)  # type: ignore[arg-type]


async def test_next_or_repeated_batch_follows() -> None:
    consumer = ConsumerDouble({HERE: 10})
    assert await consumer.follows(batch(10, 10, 11))
    assert consumer.expected[HERE] == 12
    assert await consumer.follows(batch(5, 5, 6))
    assert consumer.expected[HERE] == 7
    assert not consumer.sought


async def test_lost_batch_is_sought_until_it_comes() -> None:
    consumer = ConsumerDouble({HERE: 10})
    assert not await consumer.follows(batch(20, 20, 21))
    assert not await consumer.follows(batch(22, 22))
    assert consumer.sought == [10, 10]
    assert await consumer.follows(batch(10, *range(10, 30)))


async def test_batch_of_a_partition_without_a_position_is_not_taken() -> None:
    """Some of what is fetched right after an assignment is dropped; taking the rest would hide the hole."""
    consumer = ConsumerDouble({})
    assert not await consumer.follows(batch(20, 20, 21))
    assert not consumer.sought, "the seek to the position is on its way"
    consumer.expected[HERE] = 10
    assert not await consumer.follows(batch(22, 22))
    assert consumer.sought == [10]
    Consumer.revoke(consumer, [HERE])  # type: ignore[arg-type]
    assert not await consumer.follows(batch(10, 10))


async def test_offsets_missing_in_the_topic_are_no_loss() -> None:
    """For instance a transaction's marker: the fetch began at the expected offset."""
    consumer = ConsumerDouble({HERE: 10})
    assert await consumer.follows(batch(10, 12, 13))


async def test_events_deleted_by_retention_are_skipped() -> None:
    consumer = ConsumerDouble({HERE: 10}, earliest=20)
    assert await consumer.follows(batch(20, 20))
    assert not consumer.sought


async def test_revoked_partition_is_not_sought() -> None:
    assert not await ConsumerDouble({HERE: 10}, assigned=False).follows(batch(20, 20))


@pytest.mark.parametrize(("acked", "committed"), [([], None), ([7], 8), ([2, 9, 40], 41)])
def test_newest_acknowledged_offset_is_committed_once(acked: list[int], committed: int | None) -> None:
    consumer: Any = SimpleNamespace(_acked=defaultdict(list, {HERE: acked}), _acked_index=defaultdict(set))
    consumer._acked_index[HERE] |= set(acked)
    assert Consumer._new_offset(consumer, HERE) == committed
    assert Consumer._new_offset(consumer, HERE) is None
    assert not consumer._acked_index[HERE]
