"""Republisher: every value of a partition pushed again, to a node of the store that may have lost them.

A rebuild goes on beside the rounds: it takes the lane for one batch at a time, and pushes what the table holds by then.
Few rebuilds push at once: to make a batch takes the event loop tens of milliseconds, and a round waits for all of them
at each of its steps.
"""

import asyncio
from collections.abc import Callable

import structlog
from faust.types import TP

from featurestore.store.protocol import Node, WriteOutcome
from streams import coverage
from streams.fatal import die
from streams.processing import SourceProcessor, clock_ms
from streams.retrying_store import RetryingStore
from streams.partition_queues import PartitionQueues
from streams.metrics import REBUILDING, REBUILT

BATCH = 100  # subjects
AT_ONCE = 2  # one is written while another is made
PROGRESS_EVERY = 50_000

Place = tuple[TP, str]  # a partition and the name of a node

log = structlog.get_logger(__name__)


class Republisher:
    """The rebuilds of one worker, by partition and node. A fill is that of the node (featurestore.store.protocol)."""

    def __init__(self, lanes: PartitionQueues, gate: RetryingStore, clock: Callable[[], int] = clock_ms):
        self.lanes, self.gate, self.clock = lanes, gate, clock
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._whole: dict[Place, str] = {}
        self._running: dict[Place, tuple[str, asyncio.Task[None]]] = {}

    @property
    def _partitions(self) -> set[TP]:
        return {tp for tp, _ in self._running}

    @property
    def reason(self) -> str | None:
        """Why values may be missing in the store, if so."""
        places = ", ".join(f"{tp.topic}:{tp.partition}" for tp in sorted(self._partitions))
        return f"pushing every value to the store again: {places}" if places else None

    def whole(self, tp: TP, node: Node, fill: str) -> bool:
        """Whether all that a node holds of a partition was pushed to this fill by a rebuild of this worker's."""
        return self._whole.get((tp, node.name)) == fill

    def start(self, tp: TP, folder: SourceProcessor, node: Node, fill: str) -> None:
        """Push a partition to the present fill of a node, if that is not under way."""
        place = tp, node.name
        if place in self._running:
            under_way, task = self._running[place]
            if under_way == fill:
                return
            task.cancel()
        task = asyncio.create_task(self._run(place, folder, node, fill), name=f"rebuild-{tp.topic}-{tp.partition}")
        self._running[place] = fill, task
        REBUILDING.set(len(self._partitions))

    async def _run(self, place: Place, folder: SourceProcessor, node: Node, fill: str) -> None:
        tp, _ = place
        try:
            if await self._push(tp, folder, node):
                self._whole[place] = fill
        except Exception as error:  # noqa: BLE001 a task's error is nobody's; without the values no mark moves on
            die("rebuild failed", error, topic=tp.topic, partition=tp.partition)
        finally:
            if self._running.get(place, ("", None))[1] is asyncio.current_task():
                del self._running[place]
                REBUILDING.set(len(self._partitions))

    async def _push(self, tp: TP, folder: SourceProcessor, node: Node) -> bool:
        """False if the partition was given away meanwhile."""
        subjects = fields = 0
        last = b""
        while True:
            async with self._turns, self.lanes.alone(tp.partition):
                if tp not in self.lanes.applied:
                    return False
                keys = folder.table.keys_after(tp.partition, last, BATCH)
                owned = [key for key in keys if key != coverage.KEY and node.owns(key.decode())]
                writes = list(folder.stored(tp.partition, owned))
                if writes:
                    outcome = await self.gate.call(self.gate.store.write, writes, self.clock())
                    written = sum(became is WriteOutcome.DONE for became in outcome)
                    fields += written
                    REBUILT.labels(folder.source.name).inc(written)
            subjects += len(owned)
            if len(keys) < BATCH:
                log.info("pushed again", topic=tp.topic, partition=tp.partition, subjects=subjects, fields=fields)
                return True
            last = keys[-1]
            if subjects % PROGRESS_EVERY < len(owned):
                log.info("pushing again", topic=tp.topic, partition=tp.partition, subjects=subjects, fields=fields)
            await asyncio.sleep(0)  # a round may take the lane
