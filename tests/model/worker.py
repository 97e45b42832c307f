"""Stream worker: the real processor, queues, republisher and watermarks, whose steps the machine counts.

A worker has an event loop of its own, which runs only while the worker is pumped. Before and after each call to store,
changelog and dead letters it waits at a gate; pumping opens a number of gates.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar, TypeVar

from faust.types import TP

from featurestore.aggregations import Count, Sum
from featurestore.catalog.orders import orders
from featurestore.definitions import FeatureService, FeatureView, Registry
from streams.dead_letters import DeadLetterWriter
from streams.fetch_batches import FetchBatch
from streams.lease import LeaseLost
from streams.partition_queues import PartitionQueues
from streams.processing import MicroBatchProcessor, SourceProcessor
from streams.republisher import Republisher
from streams.retrying_store import RetryingStore
from streams.watermarks import WatermarkPublisher
from tests.kit.state_tables import MemoryStateTable
from tests.model.broker import DEAD_LETTERS, EVENTS, GENERATION, PARTITION, PURGES, Broker
from tests.model.interleaving import Process

PARTITIONS = 8
MOST_GATES = 2_000
bought = FeatureView(
    "bought",
    source=orders,
    purposes={"service", "analytics"},
    features=[Sum("quantity").over("1h", "lifetime"), Count().over("1h", "lifetime")],
)
SERVICE = FeatureService("model", [bought], purpose="service")
HAS_PASSED_BY = find_spec("featurestore.passed_by") is not None
if HAS_PASSED_BY:
    from streams.passed_by import PassedByWriter
    from tests.model.passed_by import PassedByChangelog
T = TypeVar("T")


class StepLoop(asyncio.SelectorEventLoop):
    """Event loop that runs until nothing is ready. Nothing in it waits for time."""

    def run_until_idle(self) -> None:
        while self._ready:  # type: ignore[attr-defined]
            self.call_soon(self.stop)
            self.run_forever()


def end_process(reason: str, error: BaseException, **where: object) -> None:
    """In place of the worker's end of process."""
    worker = StreamWorker.pumped
    assert worker is not None
    worker.ended = True
    if not isinstance(error, LeaseLost):
        worker.failure = error
    raise asyncio.CancelledError


class StreamWorker:
    """One worker process, from the committed offsets to its end. ``on_commit``: told of each record written.

    ``passed_by``: the topic of passed-by subjects, if there is one.
    """

    pumped: "ClassVar[StreamWorker | None]" = None

    def __init__(
        self,
        process: Process,
        broker: Broker,
        clock: Callable[[], int],
        on_commit: Callable[[bytes, bytes | None, bytes | None], None],
        passed_by: Any = None,
    ) -> None:
        self.process, self.broker, self.clock, self.on_commit = process, broker, clock, on_commit
        self.loop = StepLoop()
        self.ended = self.retrying = False
        self.failure: BaseException | None = None
        self.gates: deque[asyncio.Future[None]] = deque()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.table = WorkerTable(self)
        store = GatedStore(self)
        self.processor = SourceProcessor(
            orders,
            Registry([orders, bought]),
            self.table,  # type: ignore[arg-type]
            generation=GENERATION,
            partitions=PARTITIONS,
            clock=clock,
        )
        self.queues = PartitionQueues()
        dead_letters = DeadLetterWriter(DEAD_LETTERS.topic, DeadLetterChangelog(self))  # type: ignore[arg-type]
        processors = {EVENTS.topic: self.processor}
        options: dict[str, Any] = {}
        if passed_by is not None:
            changelog: Any = PassedByChangelog(self, passed_by)
            options["passed_by"] = PassedByWriter(passed_by.name, changelog, lambda: clock() / 1000)
        self.queues.handle = MicroBatchProcessor(processors, store, dead_letters, clock, **options).handle
        self.republisher = Republisher(self.queues, store, clock)
        self.watermarks = WatermarkPublisher(processors, self.queues, store, self.republisher, GENERATION)
        self.fetched = dict(broker.committed)
        self.queues.restart(broker.committed)
        broker.owner = self

    @property
    def idle(self) -> bool:
        return self.ended or not (self.gates or self.behind)

    @property
    def behind(self) -> bool:
        return any(self.queues.applied.get(tp, 0) < len(self.broker.logs[tp]) for tp in (EVENTS, PURGES))

    def fetch(self) -> None:
        """Queue what the topics have beyond what was fetched."""
        if self.ended:
            return
        for tp in (EVENTS, PURGES):
            start = self.fetched[tp]
            if records := self.broker.fetch(tp, start):
                self.fetched[tp] = records[-1].offset + 1
                self._start(self.queues.put(FetchBatch(*tp, start, records), partial(self._ack, tp, self.fetched[tp])))

    def publish_watermarks(self) -> None:
        """As streams.freshness does: everything up to the end is folded since the end was asked for."""
        if not self.ended and self.queues.applied.get(EVENTS, -1) >= len(self.broker.logs[EVENTS]):
            self._start(self.watermarks.publish({EVENTS: self.clock()}))

    def pump(self, gates: int | None = None) -> None:
        """Open so many gates, or go on until the worker is idle or waits for the store."""
        if self.loop.is_closed():
            return
        self.retrying, StreamWorker.pumped = False, self
        self.loop.run_until_idle()
        for _ in range(MOST_GATES if gates is None else gates):
            if not self.gates or self.ended or (gates is None and self.retrying):
                break
            self.gates.popleft().set_result(None)
            self.loop.run_until_idle()
        else:
            assert gates is not None, "the worker does not come to an end"
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """End the process here."""
        if self.loop.is_closed():
            return
        self.ended, StreamWorker.pumped = True, self
        self.gates.clear()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_idle()
        self.loop.close()

    async def gate(self) -> None:
        future: asyncio.Future[None] = self.loop.create_future()
        self.gates.append(future)
        await future

    def _ack(self, tp: TP, offset: int) -> None:
        if self.broker.owner is self:
            self.broker.committed[tp] = offset

    def _start(self, coroutine: Any) -> None:
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failure = error


class GatedStore(RetryingStore):
    """The worker's store, without threads and waiting times."""

    def __init__(self, worker: StreamWorker) -> None:
        self.online: Any = worker.process.store
        self.waiting_for: str | None = None
        self.worker = worker

    async def call_once(self, call: Callable[..., T], *arguments: object) -> T:
        await self.worker.gate()
        result = call(*arguments)
        await self.worker.gate()
        return result

    async def _wait(self, reason: str) -> None:
        self.worker.retrying = True
        await self.worker.gate()


class WorkerTable(MemoryStateTable):
    """The worker's copy of the table, recovered from the changelog."""

    def __init__(self, worker: StreamWorker) -> None:
        super().__init__()
        self.worker, self.values = worker, dict(worker.broker.changelog)

    async def commit(self, partition: int, changes: Mapping[bytes, bytes | None]) -> None:
        if not changes:
            return
        worker = self.worker
        await worker.gate()
        if worker.broker.owner is not worker:
            raise LeaseLost("the changelog refused a write of a replaced worker")
        for key, value in changes.items():
            worker.on_commit(key, worker.broker.changelog.get(key), value)
        worker.broker.write_changelog(changes)
        await worker.gate()
        await super().commit(partition, changes)


class DeadLetterChangelog:
    """What the writer of dead letters needs of the changelog: a producer."""

    def __init__(self, worker: StreamWorker) -> None:
        self.worker, self.producer = worker, self

    async def send(
        self, topic: str, value: bytes, *, key: bytes, partition: int, headers: Sequence[tuple[str, bytes]]
    ) -> "asyncio.Future[None]":
        await self.worker.gate()
        self.worker.broker.append(TP(topic, PARTITION), key, value, headers)
        done: asyncio.Future[None] = self.worker.loop.create_future()
        done.set_result(None)
        return done
