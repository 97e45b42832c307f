"""PartitionQueues: what waits for each partition number, taken in rounds by a few hands.

A hand takes what waits in every free lane and has it handled at once, so that many small bundles cost one permission
read, one changelog request and one pipeline to the store; load makes rounds longer, not queues. While one hand waits
for its changelog and store, another works on other lanes. Nobody shares a lane: rounds and rebuilds of a partition
number never overlap, whatever the topic.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from faust.types import TP

from streams.fetch_batches import FetchBatch
from streams.fatal import die

Handler = Callable[[Sequence[FetchBatch]], Awaitable[None]]

FULL_QUEUE_RECORDS = 8_000  # a lane that holds so many makes the fetcher wait
MICRO_BATCH_RECORDS = 2_000  # a hand that has so many takes no further bundle
DRAIN_TASKS = 2


class QueuedBatch(NamedTuple):
    """A bundle and what acknowledges it."""

    bundle: FetchBatch
    ack: Callable[[], object]


class PartitionQueue:
    """The bundles waiting for one partition number."""

    def __init__(self) -> None:
        self.waiting: deque[QueuedBatch] = deque()
        self.records = 0
        self.busy = False
        self.rounds = 0  # that took from it
        self.wanted: list[int] = []  # by who wants it alone: after how many rounds each may have it
        self.changed = asyncio.Event()

    def take(self, most: int) -> list[QueuedBatch]:
        """The first bundles, until there are ``most`` records."""
        self.busy = True
        self.rounds += 1
        taken: list[QueuedBatch] = []
        while self.waiting and most > 0:
            taken.append(self.waiting.popleft())
            most -= len(taken[-1].bundle)
            self.records -= len(taken[-1].bundle)
        self.changed.set()
        return taken


class PartitionQueues:
    """All lanes of a worker. ``handle`` is set before the first bundle."""

    def __init__(self) -> None:
        self.handle: Handler | None = None
        self.applied: dict[TP, int] = {}  # the offset after the last one handled, by partition
        self._lanes: dict[int, PartitionQueue] = {}
        self._hands: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()

    @asynccontextmanager
    async def alone(self, partition: int) -> AsyncIterator[None]:
        """Keep events and purges of ``partition`` out meanwhile, for a rebuild. What waits already goes first."""
        lane = self._lane(partition)
        turn = lane.rounds + bool(lane.waiting)
        lane.wanted.append(turn)
        try:
            while lane.busy or lane.rounds < turn:
                await self._changed(lane)
            lane.busy = True
        finally:
            lane.wanted.remove(turn)
            self._news.set()  # who is cancelled leaves a lane that a hand has passed by
        try:
            yield
        finally:
            self._free(lane)

    @property
    def records(self) -> int:
        """How many wait, in all lanes."""
        return sum(lane.records for lane in self._lanes.values())

    def idle(self, partition: int) -> bool:
        lane = self._lane(partition)
        return not lane.waiting and not lane.busy

    async def put(self, bundle: FetchBatch, ack: Callable[[], object]) -> None:
        """Queue a bundle, to be acknowledged when handled; wait while its lane is full."""
        if not self._hands:
            self._hands = [asyncio.create_task(self._work(), name=f"hand-{i}") for i in range(DRAIN_TASKS)]
        lane = self._lane(bundle.partition)
        while lane.records >= FULL_QUEUE_RECORDS:
            await self._changed(lane)
        lane.waiting.append(QueuedBatch(bundle, ack))
        lane.records += len(bundle)
        self._news.set()

    def restart(self, positions: Mapping[TP, int]) -> None:
        """Of the partitions assigned now, everything before these offsets is applied."""
        self.applied = dict(positions)

    def give_away(self, partitions: Iterable[TP]) -> None:
        """These partitions may be another worker's from now on: no rebuild touches their tables any more."""
        for tp in partitions:
            self.applied.pop(tp, None)

    def close(self) -> None:
        for hand in self._hands:
            hand.cancel()

    def _lane(self, partition: int) -> PartitionQueue:
        if partition not in self._lanes:
            self._lanes[partition] = PartitionQueue()
        return self._lanes[partition]

    @staticmethod
    async def _changed(lane: PartitionQueue) -> None:
        lane.changed.clear()
        await lane.changed.wait()

    def _free(self, lane: PartitionQueue) -> None:
        lane.busy = False
        lane.changed.set()
        self._news.set()

    def _take(self) -> dict[int, list[QueuedBatch]]:
        """What a hand works on next, by partition number: its lanes are busy from now on."""
        taken: dict[int, list[QueuedBatch]] = {}
        left = MICRO_BATCH_RECORDS
        for partition in list(self._lanes):
            lane = self._lanes[partition]
            if left > 0 and lane.waiting and not lane.busy and all(turn > lane.rounds for turn in lane.wanted):
                taken[partition] = lane.take(left)
                left -= sum(len(waiting.bundle) for waiting in taken[partition])
                self._lanes[partition] = self._lanes.pop(partition)  # the last to be served again
        return taken

    async def _work(self) -> None:
        assert self.handle, "nothing handles what comes"
        while True:
            taken = self._take()
            if not taken:
                self._news.clear()
                await self._news.wait()
                continue
            waiting = [each for of_lane in taken.values() for each in of_lane]
            by_tp: dict[TP, list[FetchBatch]] = {}
            for bundle, _ in waiting:
                by_tp.setdefault(bundle.tp, []).append(bundle)
            bundles = [FetchBatch.joined(parts) for parts in by_tp.values()]
            try:
                await self.handle(bundles)
                for _, ack in waiting:
                    ack()
            except Exception as error:  # noqa: BLE001 whatever it is, going on would acknowledge past it
                places = [f"{b.topic}:{b.partition}:{b.start}-{b.last_offset}" for b in bundles]
                die("handler failed", error, bundles=places)
            for bundle in bundles:
                if bundle.tp in self.applied:
                    self.applied[bundle.tp] = bundle.last_offset + 1
            for partition in taken:
                self._free(self._lanes[partition])
