"""Republications: all values of a partition pushed again, to a store node that may have lost them.

A republication runs beside the micro-batches: for each page of subjects it has the partition number to itself, and
pushes what the table holds at that moment. Few push at once: preparing a page takes the event loop tens of
milliseconds, and a micro-batch waits for all of them at each of its steps.

Idle subjects of which the store has no value stay evicted: a store that was emptied does not become larger than it was.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from faust.types import TP

from featurestore.store.protocol import WHATEVER_IS_KEPT, Node, WriteOutcome
from streams.evictions import IdleSubjects
from streams.metrics import NOT_PUSHED, REPUBLISHED, REPUBLISHING
from streams.partition_queues import PartitionQueues
from streams.process_end import end_process
from streams.processing import SourceProcessor, clock_ms
from streams.retrying_store import RetryingStore

PAGE_SUBJECTS = 100
CONCURRENT_PUSHES = 2  # one page is written while another is prepared
PROGRESS_SUBJECTS = 50_000  # between two lines of the log

Target = tuple[TP, str]  # a partition and the name of a node

log = structlog.get_logger(__name__)


class Republisher:
    """The republications of one worker, at most one a partition and node. ``incarnation``: the node's, see
    ``featurestore.store.protocol``. ``idle``: whose values may be left out; None: nobody's.
    """

    def __init__(
        self,
        queues: PartitionQueues,
        store: RetryingStore,
        clock: Callable[[], int] = clock_ms,
        idle: IdleSubjects | None = None,
    ):
        self.queues, self.store, self.clock, self.idle = queues, store, clock, idle
        self._pushes = asyncio.Semaphore(CONCURRENT_PUSHES)
        self._republished: dict[Target, str] = {}
        self._running: dict[Target, tuple[str, asyncio.Task[None]]] = {}

    @property
    def _partitions(self) -> set[TP]:
        return {tp for tp, _ in self._running}

    @property
    def reason(self) -> str | None:
        """Why values may be missing in the store, if so."""
        partitions = ", ".join(f"{tp.topic}:{tp.partition}" for tp in sorted(self._partitions))
        return f"pushing every value to the store again: {partitions}" if partitions else None

    def has_republished(self, tp: TP, node: Node, incarnation: str) -> bool:
        """Whether this worker has pushed everything of a partition that the node owns to this incarnation of it."""
        return self._republished.get((tp, node.name)) == incarnation

    def start(self, tp: TP, processor: SourceProcessor, node: Node, incarnation: str) -> None:
        """Push a partition to the present incarnation of a node, unless that is running."""
        target = tp, node.name
        if target in self._running:
            running, task = self._running[target]
            if running == incarnation:
                return
            task.cancel()
        run = self._run(target, processor, node, incarnation)
        task = asyncio.create_task(run, name=f"republish-{tp.topic}-{tp.partition}")
        self._running[target] = incarnation, task
        REPUBLISHING.set(len(self._partitions))

    async def _run(self, target: Target, processor: SourceProcessor, node: Node, incarnation: str) -> None:
        tp, _ = target
        try:
            if await self._push(tp, processor, node):
                self._republished[target] = incarnation
        except Exception as error:  # noqa: BLE001 no caller awaits the task; without the values no watermark advances
            end_process("republication failed", error, topic=tp.topic, partition=tp.partition)
        finally:
            if self._running.get(target, ("", None))[1] is asyncio.current_task():
                del self._running[target]
                REPUBLISHING.set(len(self._partitions))

    async def _push(self, tp: TP, processor: SourceProcessor, node: Node) -> bool:
        """Push page after page; False if the partition was revoked meanwhile."""
        subjects = fields = 0
        last = b""
        while True:
            # Read and written under the same hold of the partition number: a micro-batch in between would write newer
            # values, and the older ones of this page would follow them.
            async with self._pushes, self.queues.exclusive(tp.partition):
                if tp not in self.queues.applied:
                    return False
                keys = processor.table.contents.keys_after(tp.partition, last, PAGE_SUBJECTS)
                owned = [key for key in keys if not key.startswith(b"\0") and node.owns(key.decode())]
                writes = list(processor.stored_fields(tp.partition, await self._without_idle(tp.partition, owned)))
                if writes:
                    results = await self.store.call(self.store.online.write, writes, WHATEVER_IS_KEPT)
                    written = sum(result is WriteOutcome.DONE for result in results)
                    fields += written
                    REPUBLISHED.labels(processor.source.name).inc(written)
            subjects += len(owned)
            if len(keys) < PAGE_SUBJECTS:
                log.info("partition republished", topic=tp.topic, partition=tp.partition, subjects=subjects,
                         fields=fields)  # fmt: skip
                return True
            last = keys[-1]
            if subjects % PROGRESS_SUBJECTS < len(owned):
                log.info("republishing partition", topic=tp.topic, partition=tp.partition, subjects=subjects,
                         fields=fields)  # fmt: skip
            await asyncio.sleep(0)  # a micro-batch may take the partition number

    async def _without_idle(self, partition: int, keys: Sequence[bytes]) -> Sequence[bytes]:
        """The keys without those of idle subjects that the store has no value of, which are evicted now."""
        if self.idle is None or not (idle := self.idle.among(partition, keys)):
            return keys
        evicted = await self.store.call(self.store.online.mark_evicted, idle)
        NOT_PUSHED.inc(len(evicted))
        return [key for key in keys if key.decode() not in evicted]
