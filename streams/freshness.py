"""FreshnessTracker: up to which time a partition is known to be folded, idle or not.

Each second the broker is asked for the end of every partition of this worker. What was appended before the question
lies before that end, so once the queues have applied up to it, the partition is whole up to the time of asking.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from faust.types import TP

from streams.partition_queues import PartitionQueues
from streams.metrics import LAG, WAITING

INTERVAL_S = 1.0
SETTLE_S = 0.05  # most of what was appended when the question was asked is applied so soon
STUCK_MS = 5_000

log = structlog.get_logger(__name__)

Watermarks = Mapping[TP, int]
Publish = Callable[[Watermarks], Awaitable[None]]


async def publish_nothing(watermarks: Watermarks) -> None:
    """Publish no watermarks."""


class FreshnessTracker:
    """``until_ms`` by event and purge partition; ``publish`` is awaited each second with the watermarks that moved."""

    def __init__(self, queues: PartitionQueues, publish: Publish = publish_nothing) -> None:
        self.until_ms: dict[TP, int] = {}
        self._queues = queues
        self._publish = publish
        self._asking_since_s: float | None = None
        self._pending: dict[TP, tuple[int, int]] = {}  # end of the partition, and when it was asked for

    async def run(self, consumer: Any) -> None:
        while True:
            try:
                await self._ask(consumer)
            except KafkaError as error:  # no watermark moves meanwhile; Faust's consumer judges whether it is fatal
                log.warning("cannot ask for the ends of partitions", error=repr(error))
            await asyncio.sleep(SETTLE_S)
            if watermarks := self._settle():
                await self._publish(watermarks)
            await asyncio.sleep(INTERVAL_S - SETTLE_S)

    def silent_s(self) -> float:
        """For how long the broker has owed an answer."""
        return time.monotonic() - self._asking_since_s if self._asking_since_s else 0.0

    async def _ask(self, consumer: Any) -> None:
        if self._asking_since_s is None:
            self._asking_since_s = time.monotonic()
        asked_ms = int(time.time() * 1000)
        ends = await consumer.highwaters(*self._queues.applied) if self._queues.applied else {}
        self._asking_since_s = None
        WAITING.set(self._queues.records)
        LAG.clear()
        for tp, applied in self._queues.applied.items():
            if tp in ends:
                LAG.labels(*tp).set(max(0, ends[tp] - applied))
                self._pending.setdefault(tp, (ends[tp], asked_ms))
        await self._unstick(consumer, asked_ms)

    async def _unstick(self, consumer: Any, now_ms: int) -> None:
        """Read again what is due for long while its queue is idle: the end of a partition, lost, shows no hole."""
        stuck = {
            tp: self._queues.applied[tp]
            for tp, (_, asked_ms) in self._pending.items()
            if now_ms - asked_ms > STUCK_MS and tp in self._queues.applied and self._queues.idle(tp.partition)
        }
        if stuck:
            log.warning("events are due that do not come, reading again", partitions=[f"{t}:{p}" for t, p in stuck])
            await consumer.rewind(stuck)

    def _settle(self) -> Watermarks:
        """Watermarks that moved. What waits for a partition given away is forgotten with it."""
        applied = self._queues.applied
        self._pending = {tp: asked for tp, asked in self._pending.items() if tp in applied}
        moved = {tp: asked_ms for tp, (end, asked_ms) in self._pending.items() if applied[tp] >= end}
        for tp in moved:
            del self._pending[tp]
        self.until_ms = {tp: until for tp, until in self.until_ms.items() if tp in applied} | moved
        return moved
