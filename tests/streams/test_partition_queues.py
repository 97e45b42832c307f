"""MicroBatchProcessor: everything that waits, at once; nothing of a partition number beside another thing of it."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from faust.types import TP

from streams import partition_queues as module
from streams.fetch_batches import FetchBatch, KafkaRecord
from streams.partition_queues import PartitionQueues

pytestmark = pytest.mark.anyio


def batch(topic: str, partition: int, *offsets: int) -> FetchBatch:
    return FetchBatch(topic, partition, offsets[0], [KafkaRecord(offset, 0, b"k", b"v") for offset in offsets])


class Work:
    """MicroBatchProcessor that wait to be let go, and what they were given."""

    def __init__(self) -> None:
        self.micro_batches: list[list[FetchBatch]] = []
        self.running: list[FetchBatch] = []
        self.acked: list[str] = []
        self.go = asyncio.Event()
        self.queues = PartitionQueues()
        self.queues.handle = self.handle

    async def handle(self, given: Sequence[FetchBatch]) -> None:
        self.micro_batches.append(list(given))
        self.running += given
        await self.go.wait()
        for batch in given:
            self.running.remove(batch)

    def seen(self) -> list[list[tuple[str, int, int, int]]]:
        return [[(b.topic, b.partition, b.start, b.last_offset) for b in given] for given in self.micro_batches]

    async def put(self, given: FetchBatch) -> None:
        await self.queues.put(given, lambda: self.acked.append(f"{given.topic}:{given.last_offset}"))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def rounds(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_a_round_takes_what_waits_in_every_lane_and_joins_it() -> None:
    work = Work()
    for topic, partition, *offsets in (("events", 0, 0), ("events", 1, 5, 6), ("purge", 0, 3), ("events", 0, 1)):
        await work.put(batch(topic, partition, *offsets))
    work.go.set()
    await until(lambda: len(work.acked) == 4)
    assert work.seen() == [[("events", 0, 0, 1), ("purge", 0, 3, 3), ("events", 1, 5, 6)]]
    work.queues.close()


async def test_a_partition_number_is_in_one_round_at_a_time_and_others_go_on() -> None:
    work = Work()
    await work.put(batch("events", 0, 0))
    await until(lambda: len(work.running) == 1)
    await work.put(batch("purge", 0, 0))
    await work.put(batch("events", 1, 0))
    await until(lambda: len(work.running) == 2)
    await rounds()
    assert work.seen() == [[("events", 0, 0, 0)], [("events", 1, 0, 0)]]
    work.go.set()
    await until(lambda: len(work.acked) == 3)
    assert work.seen()[-1] == [("purge", 0, 0, 0)]
    work.queues.close()


async def test_a_round_that_has_enough_leaves_the_rest_to_the_next_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MICRO_BATCH_RECORDS", 3)
    work = Work()
    for partition in range(3):
        await work.put(batch("events", partition, 0, 1))
    await until(lambda: len(work.running) == 3)
    assert [len(given) for given in work.seen()] == [2, 1]
    work.go.set()
    work.queues.close()


async def test_nothing_is_acknowledged_before_it_is_handled() -> None:
    work = Work()
    work.queues.restart({TP("events", 0): 7})
    await work.put(batch("events", 0, 7, 8))
    await until(lambda: bool(work.running))
    await rounds()
    assert not work.acked
    assert work.queues.applied == {TP("events", 0): 7}
    work.go.set()
    await until(lambda: bool(work.acked))
    await rounds()
    assert work.queues.applied == {TP("events", 0): 9}
    work.queues.close()


async def test_a_full_lane_makes_the_fetcher_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FULL_QUEUE_RECORDS", 3)
    work = Work()
    await work.put(batch("events", 0, 0))
    await until(lambda: bool(work.running))
    await work.put(batch("events", 0, 1, 2, 3))
    blocked = asyncio.create_task(work.put(batch("events", 0, 4)))
    await rounds()
    assert not blocked.done()
    work.go.set()
    await until(blocked.done)
    work.queues.close()


async def test_a_rebuild_keeps_its_partition_alone() -> None:
    work = Work()
    work.go.set()
    async with work.queues.exclusive(0):
        await work.put(batch("events", 0, 0))
        await work.put(batch("events", 1, 0))
        await until(lambda: len(work.acked) == 1)
        await rounds()
        assert work.seen() == [[("events", 1, 0, 0)]]
    await until(lambda: len(work.acked) == 2)
    work.queues.close()


async def test_rebuilds_of_one_partition_number_let_a_round_in_between() -> None:
    work = Work()
    work.go.set()

    async def rebuild() -> None:
        for _ in range(100):
            async with work.queues.exclusive(0):
                await asyncio.sleep(0)
            await asyncio.sleep(0)

    republisher = [asyncio.create_task(rebuild()) for _ in range(3)]  # as after a Redis that was emptied: one a source
    for offset in range(5):
        await work.put(batch("events", 0, offset))
        await until(lambda: len(work.acked) > offset)  # noqa: B023 awaited here
    assert not any(task.done() for task in republisher)
    await asyncio.gather(*republisher)
    work.queues.close()


async def test_a_rebuild_that_is_called_off_while_it_waits_leaves_its_lane_to_the_rounds() -> None:
    work, let_go = Work(), asyncio.Event()

    async def handle(given: Sequence[FetchBatch]) -> None:
        await (let_go if given[0].partition == 0 else work.go).wait()

    work.queues.handle = handle
    await work.put(batch("events", 0, 0))
    await rounds()
    await work.put(batch("events", 1, 0))  # the other hand is busy until the end
    await rounds()

    async def rebuild() -> None:
        async with work.queues.exclusive(0):
            raise AssertionError("called off before")

    called_off = asyncio.create_task(rebuild())
    await rounds()
    await work.put(batch("events", 0, 1))
    let_go.set()
    while not work.acked:
        await asyncio.sleep(0)
    called_off.cancel()
    await until(lambda: work.acked == ["events:0", "events:1"])
    work.queues.close()


async def test_a_failing_handler_ends_the_worker_without_acknowledging(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead(BaseException):
        pass

    ends: list[str] = []

    def end_process(reason: str, error: BaseException, **where: object) -> None:
        ends.append(f"{reason}: {error}")
        raise Dead

    async def fail(given: Sequence[FetchBatch]) -> None:
        raise ValueError("no")

    monkeypatch.setattr(module, "end_process", end_process)
    work = Work()
    work.queues.handle = fail
    await work.put(batch("events", 0, 0))
    await until(lambda: bool(ends))
    assert ends == ["handler failed: no"]
    assert not work.acked
