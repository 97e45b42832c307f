"""The Faust app of one stream worker: tables, one agent for all topics, lanes, and everything it needs to end well."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import faust
from faust import ChannelT, EventT
from faust.serializers.schemas import Schema

from featurestore.config import Settings
from streams import names
from streams.bundles import Bundle, BundleScheduler
from streams.changelog import Changelog
from streams.fatal import die
from streams.lanes import Handler, Lanes
from streams.lease import Lease
from streams.metrics import REREAD, Monitor
from streams.tables import BytesTable, StateTable
from streams.transport import Consumer, Transport

DAY_S = 24 * 3600.0


class Undecoded(Schema):
    """Messages as the scheduler made them."""

    def compile(self, app: Any, **_options: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> EventT:
            return app.create_event(None, message.value, None, message)

        return decode


class App(faust.App):
    """A worker. ``state_tables`` by source and ``lanes`` are what handlers and rebuilds use."""

    state_tables: dict[str, StateTable]
    lanes: Lanes
    changelog: Changelog
    lease: Lease

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        self.conf.datadir.mkdir(parents=True, exist_ok=True)
        super()._create_directories()

    async def on_start(self) -> None:
        await super().on_start()
        await self.changelog.start()

    async def on_stop(self) -> None:
        await super().on_stop()
        self.lanes.close()
        await self.changelog.stop()

    def _crash(self, reason: BaseException) -> None:
        """Faust stops a crashed worker in an orderly way, commits included, or hangs on the way."""
        die("worker crashed", reason)


def create_app(settings: Settings, sources: Iterable[str], handlers: Callable[[App], Mapping[str, Handler]]) -> App:
    """The worker for these event sources.

    ``handlers(app)`` returns the handler of each topic (``streams.names``), called with one bundle at a time for a
    partition number; when it returns, the bundle is acknowledged, when it raises, the process ends.
    """
    app = App(names.group(settings.generation), **_faust_options(settings))
    app.lease = Lease()
    stamp = app.lease.stamp if settings.stream_lease and not settings.kafka_embedded else time.time
    app.changelog = Changelog(settings.kafka_bootstrap, settings.stream_member, stamp)
    app.state_tables = {source: _state_table(app, settings, source) for source in sources}
    by_topic = handlers(app)
    app.lanes = Lanes(by_topic)
    _add_agent(app, settings, by_topic)
    return app


def _faust_options(settings: Settings) -> dict[str, Any]:
    session_s = settings.stream_session_ms / 1000
    return {
        "broker": [f"kafka://{host.strip()}" for host in settings.kafka_bootstrap.split(",")],
        "datadir": settings.stream_data_dir / settings.stream_member,
        "ConsumerScheduler": BundleScheduler,
        "Monitor": Monitor,
        "autodiscover": False,
        "cython_optimizations": True,
        "worker_redirect_stdouts": False,
        "web_enabled": False,
        "web_tables_enabled": False,  # it would serve the tables' contents
        "canonical_url": f"http://{settings.stream_member}",
        "topic_allow_declare": False,  # topics are code: python -m streams topics apply
        "topic_disable_leader": True,
        "topic_partitions": settings.partitions,
        "broker_client_id": settings.stream_member,
        "consumer_group_instance_id": settings.stream_member,
        "broker_session_timeout": session_s,
        "broker_heartbeat_interval": session_s / 6,
        "broker_max_poll_records": 2_000,
        "broker_max_poll_interval": DAY_S,  # a worker that waits for its store keeps its partitions
        "broker_check_crcs": False,
        "broker_commit_interval": 1.0,
        "stream_buffer_maxsize": 4,
        "stream_wait_empty": True,  # a rebalance waits for the bundles in hand
    }


def _state_table(app: App, settings: Settings, source: str) -> StateTable:
    changelog = app.topic(
        names.changelog(source, settings.generation),
        schema=Undecoded(),
        partitions=settings.partitions,
        acks=False,
        allow_empty=True,
    )
    table = BytesTable(
        app,
        settings.stream_tables,
        name=f"{source}.g{settings.generation}",
        partitions=settings.partitions,
        changelog_topic=changelog,
    )
    app.tables.add(table)
    return StateTable(source, table, app.changelog)


def _add_agent(app: App, settings: Settings, topics: Iterable[str]) -> None:
    channel: ChannelT = app.topic(*topics, schema=Undecoded(), partitions=settings.partitions)

    @app.agent(channel, name="bundles")
    async def bundles(stream: Any) -> None:
        consumer = cast(Consumer, app.consumer)
        async for event in stream.noack().events():
            bundle: Bundle = event.value
            try:
                if await consumer.follows(bundle):
                    await app.lanes.put(bundle, event.ack)
                else:
                    REREAD.labels(bundle.topic).inc()
                    consumer.forget(event.message)
            except Exception as error:  # noqa: BLE001 Faust would restart the agent behind what it lost
                die("agent failed", error)
