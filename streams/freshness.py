"""Tracker of freshness: up to which time a partition is known to be folded, idle or not.

Each second the broker is asked for the end of every partition of this worker. Whatever was appended before the question
has an offset below that end. So once the partition queues have applied everything up to the end, the partition is
folded up to the time of the question.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from faust.types import TP

from streams.metrics import LAG, REREAD, WAITING
from streams.partition_queues import PartitionQueues

INTERVAL_S = 1.0
SETTLE_S = 0.05  # within which most of what was appended before the question is applied
OVERDUE_MS = 5_000

log = structlog.get_logger(__name__)

FoldedTo = Mapping[TP, int]
"""``folded_to_ms`` by partition: every event that Kafka had by then is folded."""
Publish = Callable[[FoldedTo], Awaitable[None]]


async def publish_nothing(folded_to_ms: FoldedTo) -> None:
    """Publish no watermarks."""


class FreshnessTracker:
    """Tracker of ``folded_to_ms`` by event or purge partition. ``publish`` is awaited each second with the advances."""

    def __init__(self, queues: PartitionQueues, publish: Publish = publish_nothing) -> None:
        self.folded_to_ms: dict[TP, int] = {}
        self._queues = queues
        self._publish = publish
        self._asking_since_s: float | None = None
        self._pending: dict[TP, tuple[int, int]] = {}  # end of the partition, and when it was asked for

    async def run(self, consumer: Any) -> None:
        while True:
            try:
                await self._ask(consumer)
            except KafkaError as error:  # no time advances meanwhile; Faust's consumer judges whether it is fatal
                log.warning("cannot ask for the ends of partitions", error=repr(error))
            await asyncio.sleep(SETTLE_S)
            if advanced := self._settle():
                await self._publish(advanced)
            await asyncio.sleep(INTERVAL_S - SETTLE_S)

    def silent_s(self) -> float:
        """For how long the broker has owed an answer."""
        return time.monotonic() - self._asking_since_s if self._asking_since_s else 0.0

    async def _ask(self, consumer: Any) -> None:
        if self._asking_since_s is None:
            self._asking_since_s = time.monotonic()
        asked_ms = int(time.time() * 1000)  # before the question: what is appended while it is asked may be missing
        ends = await consumer.highwaters(*self._queues.applied) if self._queues.applied else {}
        self._asking_since_s = None
        WAITING.set(self._queues.records)
        LAG.clear()
        for tp, applied in self._queues.applied.items():
            if tp in ends:
                LAG.labels(*tp).set(max(0, ends[tp] - applied))
                self._pending.setdefault(tp, (ends[tp], asked_ms))
        await self._reread_overdue(consumer, asked_ms)

    async def _reread_overdue(self, consumer: Any, now_ms: int) -> None:
        """Seek back in partitions whose events are overdue though their queue is idle.

        A fetch batch that a rebalance dropped is noticed when a later one comes; the last one of a partition is not.
        """
        overdue = {
            tp: self._queues.applied[tp]
            for tp, (_, asked_ms) in self._pending.items()
            if now_ms - asked_ms > OVERDUE_MS and tp in self._queues.applied and self._queues.idle(tp.partition)
        }
        if overdue:
            log.warning("events overdue, reading again", partitions=[f"{t}:{p}" for t, p in overdue])
            for tp in overdue:
                REREAD.labels(tp.topic).inc()
            await consumer.rewind(overdue)

    def _settle(self) -> FoldedTo:
        """The times that advanced. Pending ends of revoked partitions are dropped."""
        applied = self._queues.applied
        self._pending = {tp: asked for tp, asked in self._pending.items() if tp in applied}
        advanced = {tp: asked_ms for tp, (end, asked_ms) in self._pending.items() if applied[tp] >= end}
        for tp in advanced:
            del self._pending[tp]
        self.folded_to_ms = {tp: time_ms for tp, time_ms in self.folded_to_ms.items() if tp in applied} | advanced
        return advanced
