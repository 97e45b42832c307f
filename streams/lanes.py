"""Lanes: one bundle at a time within a partition number, different partitions side by side.

Events, purges and rebuilds of a partition must not overlap, whatever their topic. While a lane waits for its changelog
and its store, the bundles that arrive for it are joined, so that load makes bundles longer, not queues.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from faust.types import TP

from streams.bundles import Bundle
from streams.fatal import die

Handler = Callable[[Bundle], Awaitable[None]]

FULL_RECORDS = 8_000  # a lane that holds so many makes the fetcher wait
JOINED_RECORDS = 4_000


class Waiting(NamedTuple):
    """A bundle and what acknowledges it."""

    bundle: Bundle
    ack: Callable[[], object]


class Lane:
    """The bundles waiting for one partition number."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.waiting: deque[Waiting] = deque()
        self.records = 0
        self.filled = asyncio.Event()
        self.drained = asyncio.Event()

    def add(self, waiting: Waiting) -> None:
        self.waiting.append(waiting)
        self.records += len(waiting.bundle)
        self.filled.set()

    async def take(self) -> list[Waiting]:
        """The first bundle and those of the same topic right behind it."""
        while not self.waiting:
            self.filled.clear()
            await self.filled.wait()
        taken = [self.waiting.popleft()]
        topic, size = taken[0].bundle.topic, len(taken[0].bundle)
        while self.waiting and self.waiting[0].bundle.topic == topic and size < JOINED_RECORDS:
            taken.append(self.waiting.popleft())
            size += len(taken[-1].bundle)
        self.records -= size
        self.drained.set()
        return taken


class Lanes:
    """All lanes of a worker. ``handlers``: by topic, set before the first bundle."""

    def __init__(self) -> None:
        self.handlers: Mapping[str, Handler] = {}
        self.applied: dict[TP, int] = {}  # the offset after the last one handled, by partition
        self._lanes: dict[int, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def alone(self, partition: int) -> AbstractAsyncContextManager[None]:
        """Keep events and purges of ``partition`` out meanwhile, for a rebuild."""
        return self._lane(partition).lock

    def idle(self, partition: int) -> bool:
        lane = self._lane(partition)
        return not lane.waiting and not lane.lock.locked()

    async def put(self, bundle: Bundle, ack: Callable[[], object]) -> None:
        """Queue a bundle, to be acknowledged when handled; wait while its lane is full."""
        lane = self._lane(bundle.partition)
        while lane.records >= FULL_RECORDS:
            lane.drained.clear()
            await lane.drained.wait()
        lane.add(Waiting(bundle, ack))

    def restart(self, positions: Mapping[TP, int]) -> None:
        """Of the partitions assigned now, everything before these offsets is applied."""
        self.applied = dict(positions)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _lane(self, partition: int) -> Lane:
        if partition not in self._lanes:
            self._lanes[partition] = Lane()
            self._tasks.add(asyncio.create_task(self._run(self._lanes[partition]), name=f"lane-{partition}"))
        return self._lanes[partition]

    async def _run(self, lane: Lane) -> None:
        while True:
            taken = await lane.take()
            bundle = Bundle.joined(waiting.bundle for waiting in taken)
            try:
                async with lane.lock:
                    await self.handlers[bundle.topic](bundle)
                for waiting in taken:
                    waiting.ack()
            except Exception as error:  # noqa: BLE001 whatever it is, going on would acknowledge past it
                die("handler failed", error, topic=bundle.topic, partition=bundle.partition,
                    first=bundle.records[0].offset, last=bundle.last_offset)  # fmt: skip
            if bundle.tp in self.applied:
                self.applied[bundle.tp] = bundle.last_offset + 1
