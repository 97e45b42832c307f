"""PartitionQueues: what waits for each partition number, taken in rounds by a few hands.

A hand takes what waits in every free queue and has it handled at once, so that many small batches cost one permission
read, one changelog request and one pipeline to the store; load makes rounds longer, not queues. While one hand waits
for its changelog and store, another works on other queues. Nobody source_batches a queue: rounds and republisher of a partition
number never overlap, whatever the topic.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from faust.types import TP

from streams.fetch_batches import FetchBatch
from streams.fatal import end_process

Handler = Callable[[Sequence[FetchBatch]], Awaitable[None]]

FULL_QUEUE_RECORDS = 8_000  # a queue that holds so many makes the fetcher wait
MICRO_BATCH_RECORDS = 2_000  # a hand that has so many takes no further batch
DRAIN_TASKS = 2


class QueuedBatch(NamedTuple):
    """A batch and what acknowledges it."""

    batch: FetchBatch
    ack: Callable[[], object]


class PartitionQueue:
    """The batches waiting for one partition number."""

    def __init__(self) -> None:
        self.waiting: deque[QueuedBatch] = deque()
        self.records = 0
        self.busy = False
        self.rounds = 0  # that took from it
        self.wanted: list[int] = []  # by who wants it alone: after how many rounds each may have it
        self.changed = asyncio.Event()

    def take(self, most: int) -> list[QueuedBatch]:
        """The first batches, until there are ``most`` records."""
        self.busy = True
        self.rounds += 1
        taken: list[QueuedBatch] = []
        while self.waiting and most > 0:
            taken.append(self.waiting.popleft())
            most -= len(taken[-1].batch)
            self.records -= len(taken[-1].batch)
        self.changed.set()
        return taken


class PartitionQueues:
    """All queues of a worker. ``handle`` is set before the first batch."""

    def __init__(self) -> None:
        self.handle: Handler | None = None
        self.applied: dict[TP, int] = {}  # the offset after the last one handled, by partition
        self._queues: dict[int, PartitionQueue] = {}
        self._hands: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()

    @asynccontextmanager
    async def exclusive(self, partition: int) -> AsyncIterator[None]:
        """Keep events and purges of ``partition`` out meanwhile, for a rebuild. What waits already goes first."""
        queue = self._queue(partition)
        turn = queue.rounds + bool(queue.waiting)
        queue.wanted.append(turn)
        try:
            while queue.busy or queue.rounds < turn:
                await self._changed(queue)
            queue.busy = True
        finally:
            queue.wanted.remove(turn)
            self._news.set()  # who is cancelled leaves a queue that a hand has passed by
        try:
            yield
        finally:
            self._free(queue)

    @property
    def records(self) -> int:
        """How many wait, in all queues."""
        return sum(queue.records for queue in self._queues.values())

    def idle(self, partition: int) -> bool:
        queue = self._queue(partition)
        return not queue.waiting and not queue.busy

    async def put(self, batch: FetchBatch, ack: Callable[[], object]) -> None:
        """Queue a batch, to be acknowledged when handled; wait while its queue is full."""
        if not self._hands:
            self._hands = [asyncio.create_task(self._work(), name=f"hand-{i}") for i in range(DRAIN_TASKS)]
        queue = self._queue(batch.partition)
        while queue.records >= FULL_QUEUE_RECORDS:
            await self._changed(queue)
        queue.waiting.append(QueuedBatch(batch, ack))
        queue.records += len(batch)
        self._news.set()

    def restart(self, positions: Mapping[TP, int]) -> None:
        """Of the partitions assigned now, everything before these offsets is applied."""
        self.applied = dict(positions)

    def revoke(self, partitions: Iterable[TP]) -> None:
        """These partitions may be another worker's from now on: no rebuild touches their tables any more."""
        for tp in partitions:
            self.applied.pop(tp, None)

    def close(self) -> None:
        for hand in self._hands:
            hand.cancel()

    def _queue(self, partition: int) -> PartitionQueue:
        if partition not in self._queues:
            self._queues[partition] = PartitionQueue()
        return self._queues[partition]

    @staticmethod
    async def _changed(queue: PartitionQueue) -> None:
        queue.changed.clear()
        await queue.changed.wait()

    def _free(self, queue: PartitionQueue) -> None:
        queue.busy = False
        queue.changed.set()
        self._news.set()

    def _take(self) -> dict[int, list[QueuedBatch]]:
        """What a hand works on next, by partition number: its queues are busy from now on."""
        taken: dict[int, list[QueuedBatch]] = {}
        left = MICRO_BATCH_RECORDS
        for partition in list(self._queues):
            queue = self._queues[partition]
            if left > 0 and queue.waiting and not queue.busy and all(turn > queue.rounds for turn in queue.wanted):
                taken[partition] = queue.take(left)
                left -= sum(len(waiting.batch) for waiting in taken[partition])
                self._queues[partition] = self._queues.pop(partition)  # the last to be served again
        return taken

    async def _work(self) -> None:
        assert self.handle, "nothing handles what comes"
        while True:
            taken = self._take()
            if not taken:
                self._news.clear()
                await self._news.wait()
                continue
            waiting = [each for of_queue in taken.values() for each in of_queue]
            by_tp: dict[TP, list[FetchBatch]] = {}
            for batch, _ in waiting:
                by_tp.setdefault(batch.tp, []).append(batch)
            batches = [FetchBatch.joined(parts) for parts in by_tp.values()]
            try:
                await self.handle(batches)
                for _, ack in waiting:
                    ack()
            except Exception as error:  # noqa: BLE001 whatever it is, going on would acknowledge past it
                partitions = [f"{b.topic}:{b.partition}:{b.start}-{b.last_offset}" for b in batches]
                end_process("handler failed", error, batches=partitions)
            for batch in batches:
                if batch.tp in self.applied:
                    self.applied[batch.tp] = batch.last_offset + 1
            for partition in taken:
                self._free(self._queues[partition])
