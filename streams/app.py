"""Faust app of one stream worker: tables, one agent for all topics, partition queues, and an orderly end."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast

import faust
import structlog
from faust import ChannelT
from faust.tables.manager import TableManager
from faust.types import TP

from featurestore import names
from featurestore.config import Settings
from featurestore.servers.kafka import kafka_cluster
from featurestore.topic_retention import changelog_lag, segment_of_lag
from streams.changelog import Changelog
from streams.clock_check import ClockCheck, ClockError
from streams.compaction import TableCompaction
from streams.dead_letters import DeadLetterWriter
from streams.faust_options import faust_options
from streams.fetch_batches import FetchBatch, PassthroughSchema
from streams.freshness import FreshnessTracker, Publish, publish_nothing
from streams.health import HealthServer
from streams.lease import Lease, longest_skew_ms
from streams.metrics import REBALANCES, REREAD
from streams.partition_purge import PartitionPurge, Purge, purge_nobody
from streams.partition_queues import Handler, PartitionQueues
from streams.process_end import end_process
from streams.segment_ends import SegmentEnds
from streams.table_folders import UnusedFolders
from streams.tables import StateTable, state_table
from streams.topic_check import DescribeTopics, TopicCheck
from streams.topic_watch import TopicWatch
from streams.transport import Consumer, Transport

ANSWER_TIMEOUT_S = 5.0  # after which a missing answer of Kafka's makes the worker unready

log = structlog.get_logger(__name__)


class Pipeline(NamedTuple):
    """The handlers of a worker's topics. An exception of theirs ends the process.

    ``topics`` (``featurestore.names``) are read. ``handle`` is awaited with at most one fetch batch of each partition;
    nothing else uses their partition numbers meanwhile, and when it returns they are acknowledged. ``publish`` is
    awaited each second with the partitions whose freshness advanced. ``purge`` is awaited with subjects of a partition
    whose purges may be lost. ``waiting_for`` returns why nothing is processed, if so: the worker is not ready then.
    """

    topics: Iterable[str]
    handle: Handler
    publish: Publish = publish_nothing
    purge: Purge = purge_nobody
    waiting_for: Callable[[], str | None] = lambda: None


class App(faust.App):
    """A worker. Its pipeline uses ``state_tables`` (by source), ``dead_letters`` and ``partition_queues``."""

    state_tables: dict[str, StateTable]
    changelog: Changelog
    dead_letters: DeadLetterWriter
    lease: Lease
    partition_queues: PartitionQueues
    freshness: FreshnessTracker
    health: HealthServer
    pipeline: Pipeline
    topic_watch: TopicWatch
    compaction: TableCompaction
    segment_ends: SegmentEnds
    _background_tasks: "tuple[asyncio.Future[None], ...]" = ()

    def unready_reasons(self) -> list[str]:
        """Why the worker does not serve all its partitions, if so."""
        manager = cast(TableManager, self.tables)
        reasons = [reason for reason in (self.topic_watch.refusal, self.pipeline.waiting_for()) if reason]
        if manager.recovery.in_recovery:
            reasons.append(f"recovering: {manager.recovery.active_remaining_total()} changelog records to read")
        elif not manager.actives_ready:
            reasons.append("waiting for partitions to be assigned")
        if (silent_s := self.freshness.silent_s()) > ANSWER_TIMEOUT_S:
            reasons.append(f"Kafka has not answered for {silent_s:.0f} s")
        if (waiting_s := self.changelog.waiting_s()) > ANSWER_TIMEOUT_S:
            reasons.append(f"the changelog has not acknowledged a write for {waiting_s:.0f} s")
        return reasons

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        self.conf.datadir.mkdir(parents=True, exist_ok=True)
        super()._create_directories()

    async def on_start(self) -> None:
        await super().on_start()
        await self.health.start()
        try:
            await self.changelog.start()
        except ClockError as error:
            end_process("clocks differ too much to start", error)
        self._background_tasks = (
            self.add_future(self.freshness.run(self.consumer)),
            self.add_future(self.changelog.watch_clocks()),
            self.add_future(self.topic_watch.run(self.consumer)),
            self.add_future(self.compaction.run()),
            self.add_future(self.segment_ends.run()),
        )

    def on_rebalance_end(self) -> None:
        super().on_rebalance_end()
        # Faust has cleared its queues by now, after it had resumed fetching: what they held is fetched again (trap 2).
        consumer = cast(Consumer, self.consumer)
        self.add_future(consumer.rewind(dict(consumer.expected)))

    async def on_stop(self) -> None:
        for task in self._background_tasks:
            task.cancel()  # before the consumer and the producer that they use
        self.partition_queues.revoke(list(self.partition_queues.applied))  # republications end before their tables do
        await super().on_stop()
        self.partition_queues.close()
        await self.changelog.stop()
        await self.health.stop()

    def _crash(self, reason: BaseException) -> None:
        """End at once. Faust would stop in an orderly way, commits included, or hang on the way."""
        end_process("worker crashed", reason)


def create_app(
    settings: Settings,
    sources: Iterable[str],
    build_pipeline: Callable[[App], Pipeline],
    describe_topics: DescribeTopics,
) -> App:
    """The worker for these event sources. ``build_pipeline`` is called once, with the app's tables and queues set."""
    app = App(names.group(settings.generation), **faust_options(settings))
    app.lease = Lease(settings.stream_session_ms)
    leased = settings.stream_lease and not settings.kafka_embedded
    clocks = ClockCheck(names.clock(settings.generation), settings.partitions, longest_skew_ms(settings))
    app.changelog = Changelog(kafka_cluster(settings), settings.stream_member, app.lease if leased else None, clocks)
    app.dead_letters = DeadLetterWriter(names.dead_letters(settings.generation), app.changelog)
    app.state_tables = {source: state_table(app, settings, source, app.changelog) for source in sources}
    app.health = HealthServer(settings.stream_health_port, app.unready_reasons)
    app.partition_queues = PartitionQueues()
    app.pipeline = build_pipeline(app)
    app.partition_queues.handle = app.pipeline.handle
    app.freshness = FreshnessTracker(app.partition_queues, app.pipeline.publish)
    unused = UnusedFolders(app.state_tables.values(), lambda: app.conf.tabledir)
    app.compaction = TableCompaction(app.state_tables.values(), settings.stream_compaction_s, unused)
    app.segment_ends = SegmentEnds(
        app.partition_queues,
        app.state_tables.values(),
        app.changelog,
        settings.passed_by_topic,
        segment_of_lag(changelog_lag(settings)),
    )
    app.topic_watch = TopicWatch(
        TopicCheck(app.state_tables, settings.generation, describe_topics),
        app.partition_queues,
        PartitionPurge(app.partition_queues, app.state_tables, app.pipeline.purge),
    )
    _add_agent(app, settings, app.pipeline.topics)
    _follow_assignments(app)
    return app


def _add_agent(app: App, settings: Settings, topics: Iterable[str]) -> None:
    channel: ChannelT = app.topic(*topics, schema=PassthroughSchema(), partitions=settings.partitions)

    @app.agent(channel, name="fetch_batches")
    async def enqueue(stream: Any) -> None:
        consumer = cast(Consumer, app.consumer)
        async for event in stream.noack().events():
            batch: FetchBatch = event.value
            try:
                if await consumer.follows(batch):
                    await app.partition_queues.put(batch, event.ack)
                else:
                    REREAD.labels(batch.topic).inc()
                    consumer.forget(event.message)
            except Exception as error:  # noqa: BLE001 Faust would restart the agent after the batch it lost
                end_process("agent failed", error)


def _follow_assignments(app: App) -> None:
    @app.on_partitions_revoked.connect(weak=False)
    async def revoked(_app: Any, partitions: Iterable[TP], **_options: Any) -> None:
        app.partition_queues.revoke(partitions)
        cast(Consumer, app.consumer).revoke(partitions)

    @app.on_rebalance_complete.connect(weak=False)
    async def recovered(_app: Any, **_options: Any) -> None:
        partitions = {tp.partition for tp in app.assignor.assigned_actives()}
        log.info("tables recovered", partitions=sorted(partitions))
        REBALANCES.inc()
        await app.topic_watch.admit(app.consumer, partitions)
