"""Republisher: every value of a partition pushed again, to a node of the store that may have lost them.

A rebuild goes on beside the rounds: it takes the queue for one batch at a time, and pushes what the table holds by then.
Few republisher push at once: to make a batch takes the event loop tens of milliseconds, and a round waits for all of them
at each of its steps.
"""

import asyncio
from collections.abc import Callable

import structlog
from faust.types import TP

from featurestore.store.protocol import Node, WriteOutcome
from streams import coverage
from streams.fatal import end_process
from streams.processing import SourceProcessor, clock_ms
from streams.retrying_store import RetryingStore
from streams.partition_queues import PartitionQueues
from streams.metrics import REPUBLISHING, REPUBLISHED

BATCH = 100  # subjects
CONCURRENT_PUSHES = 2  # one is written while another is made
PROGRESS_EVERY = 50_000

Place = tuple[TP, str]  # a partition and the name of a node

log = structlog.get_logger(__name__)


class Republisher:
    """The republisher of one worker, by partition and node. A incarnation is that of the node (featurestore.store.protocol)."""

    def __init__(self, queues: PartitionQueues, gate: RetryingStore, clock: Callable[[], int] = clock_ms):
        self.queues, self.store, self.clock = queues, gate, clock
        self._turns = asyncio.Semaphore(CONCURRENT_PUSHES)
        self._whole: dict[Place, str] = {}
        self._running: dict[Place, tuple[str, asyncio.Task[None]]] = {}

    @property
    def _partitions(self) -> set[TP]:
        return {tp for tp, _ in self._running}

    @property
    def reason(self) -> str | None:
        """Why values may be missing in the store, if so."""
        partitions = ", ".join(f"{tp.topic}:{tp.partition}" for tp in sorted(self._partitions))
        return f"pushing every value to the store again: {partitions}" if partitions else None

    def has_republished(self, tp: TP, node: Node, incarnation: str) -> bool:
        """Whether all that a node holds of a partition was pushed to this incarnation by a rebuild of this worker's."""
        return self._whole.get((tp, node.name)) == incarnation

    def start(self, tp: TP, processor: SourceProcessor, node: Node, incarnation: str) -> None:
        """Push a partition to the present incarnation of a node, if that is not under way."""
        place = tp, node.name
        if place in self._running:
            under_way, task = self._running[place]
            if under_way == incarnation:
                return
            task.cancel()
        task = asyncio.create_task(self._run(place, processor, node, incarnation), name=f"rebuild-{tp.topic}-{tp.partition}")
        self._running[place] = incarnation, task
        REPUBLISHING.set(len(self._partitions))

    async def _run(self, place: Place, processor: SourceProcessor, node: Node, incarnation: str) -> None:
        tp, _ = place
        try:
            if await self._push(tp, processor, node):
                self._whole[place] = incarnation
        except Exception as error:  # noqa: BLE001 a task's error is nobody's; without the values no watermark moves on
            end_process("rebuild failed", error, topic=tp.topic, partition=tp.partition)
        finally:
            if self._running.get(place, ("", None))[1] is asyncio.current_task():
                del self._running[place]
                REPUBLISHING.set(len(self._partitions))

    async def _push(self, tp: TP, processor: SourceProcessor, node: Node) -> bool:
        """False if the partition was given away meanwhile."""
        subjects = fields = 0
        last = b""
        while True:
            async with self._turns, self.queues.exclusive(tp.partition):
                if tp not in self.queues.applied:
                    return False
                keys = processor.table.contents.keys_after(tp.partition, last, BATCH)
                owned = [key for key in keys if key != coverage.KEY and node.owns(key.decode())]
                writes = list(processor.stored(tp.partition, owned))
                if writes:
                    outcome = await self.store.call(self.store.online.write, writes, self.clock())
                    written = sum(became is WriteOutcome.DONE for became in outcome)
                    fields += written
                    REPUBLISHED.labels(processor.source.name).inc(written)
            subjects += len(owned)
            if len(keys) < BATCH:
                log.info("pushed again", topic=tp.topic, partition=tp.partition, subjects=subjects, fields=fields)
                return True
            last = keys[-1]
            if subjects % PROGRESS_EVERY < len(owned):
                log.info("pushing again", topic=tp.topic, partition=tp.partition, subjects=subjects, fields=fields)
            await asyncio.sleep(0)  # a round may take the queue
