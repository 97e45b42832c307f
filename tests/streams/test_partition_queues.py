"""Partition queues: micro-batches of all that waits; one user of a partition number at a time."""

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


class BlockingHandler:
    """Handler of partition queues that waits for ``go`` and records the micro-batches that it gets."""

    def __init__(self) -> None:
        self.micro_batches: list[list[FetchBatch]] = []
        self.running: list[FetchBatch] = []
        self.acked: list[str] = []
        self.go = asyncio.Event()
        self.queues = PartitionQueues()
        self.queues.handle = self.handle

    async def handle(self, batches: Sequence[FetchBatch]) -> None:
        self.micro_batches.append(list(batches))
        self.running += batches
        await self.go.wait()
        for one in batches:
            self.running.remove(one)

    def offsets(self) -> list[list[tuple[str, int, int, int]]]:
        """(topic, partition, first offset, last offset) of each fetch batch, by micro-batch."""
        return [[(b.topic, b.partition, b.start, b.last_offset) for b in batches] for batches in self.micro_batches]

    async def put(self, one: FetchBatch) -> None:
        await self.queues.put(one, lambda: self.acked.append(f"{one.topic}:{one.last_offset}"))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def loop_turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_micro_batch_takes_and_joins_what_waits_in_every_queue() -> None:
    handler = BlockingHandler()
    for topic, partition, *offsets in (("events", 0, 0), ("events", 1, 5, 6), ("purge", 0, 3), ("events", 0, 1)):
        await handler.put(batch(topic, partition, *offsets))
    handler.go.set()
    await until(lambda: len(handler.acked) == 4)
    assert handler.offsets() == [[("events", 0, 0, 1), ("purge", 0, 3, 3), ("events", 1, 5, 6)]]
    handler.queues.close()


async def test_partition_number_is_in_one_micro_batch_at_a_time() -> None:
    handler = BlockingHandler()
    await handler.put(batch("events", 0, 0))
    await until(lambda: len(handler.running) == 1)
    await handler.put(batch("purge", 0, 0))
    await handler.put(batch("events", 1, 0))
    await until(lambda: len(handler.running) == 2)
    await loop_turns()
    assert handler.offsets() == [[("events", 0, 0, 0)], [("events", 1, 0, 0)]]
    handler.go.set()
    await until(lambda: len(handler.acked) == 3)
    assert handler.offsets()[-1] == [("purge", 0, 0, 0)]
    handler.queues.close()


async def test_full_micro_batch_leaves_the_rest_to_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MICRO_BATCH_RECORDS", 3)
    handler = BlockingHandler()
    for partition in range(3):
        await handler.put(batch("events", partition, 0, 1))
    await until(lambda: len(handler.running) == 3)
    assert [len(batches) for batches in handler.offsets()] == [2, 1]
    handler.go.set()
    handler.queues.close()


async def test_nothing_is_acknowledged_before_it_is_handled() -> None:
    handler = BlockingHandler()
    handler.queues.restart({TP("events", 0): 7})
    await handler.put(batch("events", 0, 7, 8))
    await until(lambda: bool(handler.running))
    await loop_turns()
    assert not handler.acked
    assert handler.queues.applied == {TP("events", 0): 7}
    handler.go.set()
    await until(lambda: bool(handler.acked))
    await loop_turns()
    assert handler.queues.applied == {TP("events", 0): 9}
    handler.queues.close()


async def test_full_queue_makes_the_fetcher_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FULL_QUEUE_RECORDS", 3)
    handler = BlockingHandler()
    await handler.put(batch("events", 0, 0))
    await until(lambda: bool(handler.running))
    await handler.put(batch("events", 0, 1, 2, 3))
    blocked = asyncio.create_task(handler.put(batch("events", 0, 4)))
    await loop_turns()
    assert not blocked.done()
    handler.go.set()
    await until(blocked.done)
    handler.queues.close()


async def test_exclusive_use_keeps_micro_batches_off_its_partition() -> None:
    handler = BlockingHandler()
    handler.go.set()
    async with handler.queues.exclusive(0):
        await handler.put(batch("events", 0, 0))
        await handler.put(batch("events", 1, 0))
        await until(lambda: len(handler.acked) == 1)
        await loop_turns()
        assert handler.offsets() == [[("events", 1, 0, 0)]]
    await until(lambda: len(handler.acked) == 2)
    handler.queues.close()


async def test_republications_of_one_partition_let_micro_batches_between() -> None:
    handler = BlockingHandler()
    handler.go.set()

    async def republish() -> None:
        for _ in range(100):
            async with handler.queues.exclusive(0):
                await asyncio.sleep(0)
            await asyncio.sleep(0)

    republications = [asyncio.create_task(republish()) for _ in range(3)]  # as for an emptied Redis: one a source
    for offset in range(5):
        await handler.put(batch("events", 0, offset))
        await until(lambda: len(handler.acked) > offset)  # noqa: B023 awaited here
    assert not any(task.done() for task in republications)
    await asyncio.gather(*republications)
    handler.queues.close()


async def test_cancelled_wait_for_exclusive_use_frees_the_queue() -> None:
    handler, let_go = BlockingHandler(), asyncio.Event()

    async def handle(batches: Sequence[FetchBatch]) -> None:
        await (let_go if batches[0].partition == 0 else handler.go).wait()

    handler.queues.handle = handle
    await handler.put(batch("events", 0, 0))
    await loop_turns()
    await handler.put(batch("events", 1, 0))  # the other drain task is busy until the end
    await loop_turns()

    async def republish() -> None:
        async with handler.queues.exclusive(0):
            raise AssertionError("was to be cancelled before")

    cancelled = asyncio.create_task(republish())
    await loop_turns()
    await handler.put(batch("events", 0, 1))
    let_go.set()
    while not handler.acked:
        await asyncio.sleep(0)
    cancelled.cancel()
    await until(lambda: handler.acked == ["events:0", "events:1"])
    handler.queues.close()


async def test_failing_handler_ends_the_worker_without_acknowledging(monkeypatch: pytest.MonkeyPatch) -> None:
    class ProcessEnded(BaseException):
        pass

    ends: list[str] = []

    def end_process(reason: str, error: BaseException, **where: object) -> None:
        ends.append(f"{reason}: {error}")
        raise ProcessEnded

    async def fail(batches: Sequence[FetchBatch]) -> None:
        raise ValueError("no")

    monkeypatch.setattr(module, "end_process", end_process)
    handler = BlockingHandler()
    handler.queues.handle = fail
    await handler.put(batch("events", 0, 0))
    await until(lambda: bool(ends))
    assert ends == ["handler failed: no"]
    assert not handler.acked
