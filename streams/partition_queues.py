"""Queues of fetch batches, one a partition number, that a few drain tasks empty in micro-batches.

A drain task takes what waits in every free queue and has it handled at once, so that many small fetch batches cost one
permission read, one changelog request and one pipeline to the store: load makes micro-batches larger, not queues
longer. While one drain task waits for changelog and store, another works on other queues.

Invariant: at most one drain task or republication uses a partition number at a time, whatever the topic, and the fetch
batches of a queue are handled and acknowledged in the order in which they came.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from faust.types import TP

from streams.fetch_batches import FetchBatch
from streams.process_end import end_process

Handler = Callable[[Sequence[FetchBatch]], Awaitable[None]]

FULL_QUEUE_RECORDS = 8_000  # a queue that holds so many makes the fetcher wait
MICRO_BATCH_RECORDS = 2_000  # a micro-batch of so many takes no further fetch batch
DRAIN_TASKS = 2


class QueuedBatch(NamedTuple):
    """A fetch batch and the call that acknowledges it."""

    batch: FetchBatch
    ack: Callable[[], object]


class PartitionQueue:
    """The fetch batches that wait for one partition number."""

    def __init__(self) -> None:
        self.waiting: deque[QueuedBatch] = deque()
        self.records = 0
        self.busy = False
        self.taken = 0  # how many micro-batches have taken from it
        self.reservations: list[int] = []  # of waiting calls of ``exclusive``: at which ``taken`` it is their turn
        self.changed = asyncio.Event()

    def take(self, most: int) -> list[QueuedBatch]:
        """The first fetch batches, until there are ``most`` records."""
        self.busy = True
        self.taken += 1
        taken: list[QueuedBatch] = []
        while self.waiting and most > 0:
            taken.append(self.waiting.popleft())
            most -= len(taken[-1].batch)
            self.records -= len(taken[-1].batch)
        self.changed.set()
        return taken

    async def wait_for_change(self) -> None:
        self.changed.clear()
        await self.changed.wait()


class PartitionQueues:
    """All partition queues of a worker. ``handle`` is set before the first fetch batch."""

    def __init__(self) -> None:
        self.handle: Handler | None = None
        self.applied: dict[TP, int] = {}  # the offset after the last one handled, by partition
        self._queues: dict[int, PartitionQueue] = {}
        self._drain_tasks: list[asyncio.Task[None]] = []
        self._takeable = asyncio.Event()  # a queue may have become free, or filled

    @asynccontextmanager
    async def exclusive(self, partition: int) -> AsyncIterator[None]:
        """Keep micro-batches off ``partition`` meanwhile, for a republication. What waits already is handled first."""
        queue = self._queue(partition)
        # If anything waits, one more micro-batch goes first; then drain tasks pass the queue by until the reservation
        # is removed. So neither events nor republications starve, and what a republication pushes is not older.
        turn = queue.taken + bool(queue.waiting)
        queue.reservations.append(turn)
        try:
            while queue.busy or queue.taken < turn:
                await queue.wait_for_change()
            queue.busy = True  # no await since the check: no other task can have taken the queue
        finally:
            queue.reservations.remove(turn)
            self._takeable.set()  # after a cancellation: drain tasks have passed this queue by and sleep
        try:
            yield
        finally:
            self._release(queue)

    @property
    def records(self) -> int:
        """How many wait, in all queues."""
        return sum(queue.records for queue in self._queues.values())

    def idle(self, partition: int) -> bool:
        queue = self._queue(partition)
        return not queue.waiting and not queue.busy

    async def put(self, batch: FetchBatch, ack: Callable[[], object]) -> None:
        """Queue a fetch batch, to be acknowledged when handled; wait while its queue is full."""
        if not self._drain_tasks:
            self._drain_tasks = [asyncio.create_task(self._drain(), name=f"drain-{i}") for i in range(DRAIN_TASKS)]
        queue = self._queue(batch.partition)
        while queue.records >= FULL_QUEUE_RECORDS:
            await queue.wait_for_change()
        queue.waiting.append(QueuedBatch(batch, ack))
        queue.records += len(batch)
        self._takeable.set()

    def restart(self, positions: Mapping[TP, int]) -> None:
        """Of the partitions assigned now, everything before these offsets is applied."""
        self.applied = dict(positions)

    def revoke(self, partitions: Iterable[TP]) -> None:
        """These partitions may be another worker's from now on: no republication touches their tables any more."""
        for tp in partitions:
            self.applied.pop(tp, None)

    def close(self) -> None:
        for task in self._drain_tasks:
            task.cancel()

    def _queue(self, partition: int) -> PartitionQueue:
        if partition not in self._queues:
            self._queues[partition] = PartitionQueue()
        return self._queues[partition]

    def _release(self, queue: PartitionQueue) -> None:
        queue.busy = False
        queue.changed.set()
        self._takeable.set()

    def _take(self) -> dict[int, list[QueuedBatch]]:
        """The next micro-batch, by partition number: its queues are busy from now on."""
        taken: dict[int, list[QueuedBatch]] = {}
        left = MICRO_BATCH_RECORDS
        for partition in list(self._queues):
            queue = self._queues[partition]
            if left > 0 and queue.waiting and not queue.busy and all(turn > queue.taken for turn in queue.reservations):
                taken[partition] = queue.take(left)
                left -= sum(len(queued.batch) for queued in taken[partition])
                self._queues[partition] = self._queues.pop(partition)  # the last to be served again
        return taken

    async def _drain(self) -> None:
        assert self.handle, "no handler is set"
        while True:
            taken = self._take()
            if not taken:
                self._takeable.clear()  # no await since ``_take``: nothing that came later is slept through
                await self._takeable.wait()
                continue
            micro_batch = [queued for of_queue in taken.values() for queued in of_queue]
            by_tp: dict[TP, list[FetchBatch]] = {}
            for batch, _ in micro_batch:
                by_tp.setdefault(batch.tp, []).append(batch)
            batches = [FetchBatch.joined(parts) for parts in by_tp.values()]
            try:
                await self.handle(batches)
                for _, ack in micro_batch:
                    ack()
            except Exception as error:  # noqa: BLE001 whatever it is: a later acknowledgement would commit past it
                offsets = [f"{b.topic}:{b.partition}:{b.start}-{b.last_offset}" for b in batches]
                end_process("handler failed", error, batches=offsets)
            for batch in batches:
                if batch.tp in self.applied:  # not revoked while it was handled
                    self.applied[batch.tp] = batch.last_offset + 1
            for partition in taken:
                self._release(self._queues[partition])
