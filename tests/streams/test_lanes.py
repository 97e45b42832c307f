"""One bundle at a time within a partition number, partitions side by side."""

import asyncio
from collections.abc import Callable

import pytest
from faust.types import TP

from streams import lanes as module
from streams.bundles import Bundle, Record
from streams.lanes import Lanes

pytestmark = pytest.mark.anyio


def bundle(topic: str, partition: int, *offsets: int) -> Bundle:
    return Bundle(topic, partition, offsets[0], [Record(offset, 0, b"k", b"v") for offset in offsets])


class Work:
    """Handlers that wait to be let go, and what they were given."""

    def __init__(self, *topics: str) -> None:
        self.seen: list[Bundle] = []
        self.running: list[Bundle] = []
        self.acked: list[str] = []
        self.go = asyncio.Event()
        self.lanes = Lanes()
        self.lanes.handlers = dict.fromkeys(topics, self.handle)

    async def handle(self, given: Bundle) -> None:
        self.seen.append(given)
        self.running.append(given)
        await self.go.wait()
        self.running.remove(given)

    async def put(self, given: Bundle) -> None:
        await self.lanes.put(given, lambda: self.acked.append(f"{given.topic}:{given.last_offset}"))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def rounds(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_events_and_purges_of_a_partition_do_not_overlap_and_partitions_do() -> None:
    work = Work("events", "purge")
    await work.put(bundle("events", 0, 1))
    await work.put(bundle("purge", 0, 1))
    await work.put(bundle("events", 1, 1))
    await until(lambda: len(work.running) == 2)
    await rounds()
    assert {(b.topic, b.partition) for b in work.running} == {("events", 0), ("events", 1)}
    work.go.set()
    await until(lambda: len(work.acked) == 3)
    assert work.seen[-1].topic == "purge"
    work.lanes.close()


async def test_what_arrives_meanwhile_is_joined_and_each_is_acknowledged() -> None:
    work = Work("events", "purge")
    for topic, *offsets in (("events", 0), ("events", 1, 2), ("events", 3), ("purge", 0), ("events", 4)):
        await work.put(bundle(topic, 0, *offsets))
        await rounds()
    work.go.set()
    await until(lambda: len(work.acked) == 5)
    assert [(b.topic, b.start, b.last_offset) for b in work.seen] == [
        ("events", 0, 0),
        ("events", 1, 3),
        ("purge", 0, 0),
        ("events", 4, 4),
    ]
    assert work.acked == ["events:0", "events:2", "events:3", "purge:0", "events:4"]
    work.lanes.close()


async def test_nothing_is_acknowledged_before_it_is_handled() -> None:
    work = Work("events")
    work.lanes.restart({TP("events", 0): 7})
    await work.put(bundle("events", 0, 7, 8))
    await until(lambda: bool(work.running))
    await rounds()
    assert not work.acked
    assert work.lanes.applied == {TP("events", 0): 7}
    work.go.set()
    await until(lambda: bool(work.acked))
    await rounds()
    assert work.lanes.applied == {TP("events", 0): 9}
    work.lanes.close()


async def test_a_full_lane_makes_the_fetcher_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FULL_RECORDS", 3)
    work = Work("events")
    await work.put(bundle("events", 0, 0))
    await until(lambda: bool(work.running))
    await work.put(bundle("events", 0, 1, 2, 3))
    blocked = asyncio.create_task(work.put(bundle("events", 0, 4)))
    await rounds()
    assert not blocked.done()
    work.go.set()
    await until(blocked.done)
    work.lanes.close()


async def test_a_rebuild_keeps_its_partition_alone() -> None:
    work = Work("events")
    work.go.set()
    async with work.lanes.alone(0):
        await work.put(bundle("events", 0, 0))
        await work.put(bundle("events", 1, 0))
        await until(lambda: len(work.acked) == 1)
        await rounds()
        assert [b.partition for b in work.seen] == [1]
    await until(lambda: len(work.acked) == 2)
    work.lanes.close()


async def test_a_failing_handler_ends_the_worker_without_acknowledging(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead(BaseException):
        pass

    ends: list[str] = []

    def die(reason: str, error: BaseException, **where: object) -> None:
        ends.append(f"{reason}: {error}")
        raise Dead

    async def fail(given: Bundle) -> None:
        raise ValueError("no")

    monkeypatch.setattr(module, "die", die)
    work = Work()
    work.lanes.handlers = {"events": fail}
    await work.put(bundle("events", 0, 0))
    await until(lambda: bool(ends))
    assert ends == ["handler failed: no"]
    assert not work.acked
