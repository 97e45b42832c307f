"""Freshness: up to which time a partition is known to be folded."""

from collections.abc import Mapping

import pytest
from faust.types import TP

from streams import freshness as module
from streams.freshness import FreshnessTracker
from streams.partition_queues import PartitionQueues

pytestmark = pytest.mark.anyio

A, B = TP("events", 0), TP("events", 1)


class Broker:
    """Broker that knows the ends of partitions and the positions that were sought."""

    def __init__(self, **ends: int) -> None:
        self.ends = {TP("events", int(name[1:])): end for name, end in ends.items()}
        self.sought: list[Mapping[TP, int]] = []

    async def rewind(self, positions: Mapping[TP, int]) -> None:
        self.sought.append(positions)

    async def highwaters(self, *tps: TP) -> Mapping[TP, int]:
        return {tp: self.ends[tp] for tp in tps}


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [100.0]
    monkeypatch.setattr(module.time, "time", lambda: clock[0])
    return clock


def partition_queues(**applied: int) -> PartitionQueues:
    queues = PartitionQueues()
    queues.restart({TP("events", int(name[1:])): offset for name, offset in applied.items()})
    return queues


async def test_idle_partition_is_folded_up_to_the_time_of_asking(now: list[float]) -> None:
    freshness = FreshnessTracker(partition_queues(p0=5, p1=0))
    await freshness._ask(Broker(p0=5, p1=0))
    assert freshness._settle() == {A: 100_000, B: 100_000}


async def test_busy_partition_is_folded_up_to_the_time_of_asking_when_caught_up(now: list[float]) -> None:
    busy = partition_queues(p0=5)
    freshness = FreshnessTracker(busy)
    await freshness._ask(Broker(p0=8))
    assert freshness._settle() == {}
    now[0] = 101.0
    await freshness._ask(Broker(p0=20))
    busy.applied[A] = 8
    assert freshness._settle() == {A: 100_000}
    assert freshness.folded_to_ms == {A: 100_000}


async def test_revoked_partition_has_no_freshness(now: list[float]) -> None:
    queues = partition_queues(p0=5, p1=5)
    freshness = FreshnessTracker(queues)
    await freshness._ask(Broker(p0=5, p1=9))
    assert freshness._settle() == {A: 100_000}
    queues.restart({})
    assert freshness._settle() == {}
    assert freshness.folded_to_ms == {}


async def test_overdue_end_of_a_partition_is_read_again(now: list[float]) -> None:
    freshness, broker = FreshnessTracker(partition_queues(p0=5, p1=9)), Broker(p0=8, p1=9)
    for now[0] in (100.0, 104.0, 106.0):
        await freshness._ask(broker)
        freshness._settle()
    assert broker.sought == [{A: 5}]


async def test_overdue_events_of_a_busy_queue_are_not_read_again(now: list[float]) -> None:
    busy, broker = partition_queues(p0=5), Broker(p0=8)
    freshness = FreshnessTracker(busy)
    async with busy.exclusive(0):
        for now[0] in (100.0, 106.0):
            await freshness._ask(broker)
    assert not broker.sought
