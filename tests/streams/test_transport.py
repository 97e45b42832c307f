"""What is committed, and what is read again."""

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


class Broker:
    """Stands for the consumer that asks the broker."""

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

    async def follows(self, given: FetchBatch) -> bool:
        return await Consumer.follows(self, given)  # type: ignore[arg-type]


async def test_a_bundle_that_comes_next_or_again_follows() -> None:
    broker = Broker({HERE: 10})
    assert await broker.follows(batch(10, 10, 11))
    assert broker.expected[HERE] == 12
    assert await broker.follows(batch(5, 5, 6))
    assert broker.expected[HERE] == 7
    assert not broker.sought


async def test_after_a_lost_bundle_the_consumer_seeks_back_until_it_came() -> None:
    broker = Broker({HERE: 10})
    assert not await broker.follows(batch(20, 20, 21))
    assert not await broker.follows(batch(22, 22))
    assert broker.sought == [10, 10]
    assert await broker.follows(batch(10, *range(10, 30)))


async def test_nothing_of_a_partition_is_taken_before_its_position_is_known() -> None:
    """What was fetched right after an assignment is dropped in part: the rest, taken first, would hide the hole."""
    broker = Broker({})
    assert not await broker.follows(batch(20, 20, 21))
    assert not broker.sought, "the seek to the position is on its way"
    broker.expected[HERE] = 10
    assert not await broker.follows(batch(22, 22))
    assert broker.sought == [10]
    Consumer.revoke(broker, [HERE])  # type: ignore[arg-type]
    assert not await broker.follows(batch(10, 10))


async def test_offsets_that_the_topic_lacks_are_no_loss() -> None:
    """A transaction's marker, for one: the fetch began where it should have."""
    broker = Broker({HERE: 10})
    assert await broker.follows(batch(10, 12, 13))


async def test_what_retention_deleted_is_not_waited_for() -> None:
    broker = Broker({HERE: 10}, earliest=20)
    assert await broker.follows(batch(20, 20))
    assert not broker.sought


async def test_a_partition_given_away_is_left_to_its_new_owner() -> None:
    assert not await Broker({HERE: 10}, assigned=False).follows(batch(20, 20))


@pytest.mark.parametrize(("acked", "committed"), [([], None), ([7], 8), ([2, 9, 40], 41)])
def test_the_newest_acknowledged_offset_is_committed_and_forgotten(acked: list[int], committed: int | None) -> None:
    consumer: Any = SimpleNamespace(_acked=defaultdict(list, {HERE: acked}), _acked_index=defaultdict(set))
    consumer._acked_index[HERE] |= set(acked)
    assert Consumer._new_offset(consumer, HERE) == committed
    assert Consumer._new_offset(consumer, HERE) is None
    assert not consumer._acked_index[HERE]
