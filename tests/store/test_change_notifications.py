"""Change notifications of real servers: one for each write, and one whenever messages may have been missed."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from devservers.redis_cluster import RedisCluster
from devservers.redis_server import RedisServer
from devservers.server import running
from featurestore.permission import Permission, PurposePermission
from featurestore.store.change_notifications import ChangeNotifier
from featurestore.store.configured import store_at
from featurestore.store.protocol import FieldWrite, StoreUnavailable, WriteOutcome
from featurestore.store.redis import subject_key
from featurestore.tiles.stored_field import pack_field
from tests.kit.stores import vouch

SUBJECTS = [f"{i:032x}" for i in range(30)]
ANN, BOB = SUBJECTS[:2]
CARL = "c" * 32  # permission ends
PERMISSION = Permission(1, 1, {"service": PurposePermission(True, 1, 0)})
STORES = ["redis_server", "valkey_server", "redis_cluster"]


def value(offset: int, grant: int = 1) -> bytes:
    return pack_field(1, offset, grant, b"value")


class SubscriberHarness:
    """A store, its change notifier, and how often each subject's callback was called."""

    def __init__(self, url: str, threads: ThreadPoolExecutor):
        self.store = store_at(url, 1_000)
        self.changes = ChangeNotifier(self.store, threads)
        self.notified: Counter[str] = Counter()
        self._callbacks: dict[str, Callable[[], None]] = {}

    async def subscribe(self, *subjects: str) -> None:
        for subject in subjects:
            self._callbacks[subject] = partial(self.count, subject)
            await self.changes.subscribe(subject, self._callbacks[subject], 2)
        self.notified.clear()

    async def unsubscribe(self, subject: str) -> None:
        await self.changes.unsubscribe(subject, self._callbacks.pop(subject))

    def count(self, subject: str) -> None:
        self.notified[subject] += 1

    async def write(self, subject: str, offset: int, grant: int = 1, fields: int = 1) -> list[WriteOutcome]:
        writes = [FieldWrite(subject, f"v{i}/service", "service", value(offset, grant)) for i in range(fields)]
        return await asyncio.to_thread(self.store.write, writes, 1)

    async def until(self, true: Callable[[], Any], within_s: float = 5) -> None:
        deadline = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < deadline, self.notified
            await asyncio.sleep(0.01)


@asynccontextmanager
async def subscribing(url: str) -> AsyncIterator[SubscriberHarness]:
    with ThreadPoolExecutor(2) as threads:
        made = SubscriberHarness(url, threads)
        await asyncio.to_thread(made.store.publish_permissions, dict.fromkeys(SUBJECTS, PERMISSION))
        running = asyncio.create_task(made.changes.run())
        try:
            await made.until(lambda: made.changes.connected)
            yield made
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.wait([running])


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may kill."""
    made = RedisServer(tmp_path)
    made.start()
    yield made
    made.stop()


def test_a_write_of_several_fields_notifies_once(url: str) -> None:
    async def scenario() -> None:
        async with subscribing(url) as harness:
            await harness.subscribe(*SUBJECTS[:-1])
            for subject in SUBJECTS:
                assert await harness.write(subject, 1, fields=3) == [WriteOutcome.DONE] * 3
            await harness.until(lambda: len(harness.notified) == len(SUBJECTS) - 1)
            assert set(harness.notified.values()) == {1}

    asyncio.run(scenario())


def test_disallowed_and_superseded_writes_do_not_notify(url: str) -> None:
    async def scenario() -> None:
        async with subscribing(url) as harness:
            neighbour = next(
                one for one in SUBJECTS[1:] if harness.changes.node_of(one) is harness.changes.node_of(ANN)
            )
            await harness.write(ANN, 5)
            await harness.subscribe(ANN, neighbour)
            assert await harness.write(ANN, 4) == [WriteOutcome.SUPERSEDED]
            assert await harness.write(ANN, 6, grant=2) == [WriteOutcome.NOT_ALLOWED]
            await harness.write(neighbour, 1)
            await harness.until(lambda: harness.notified[neighbour])
            assert harness.notified == {neighbour: 1}, "messages of one connection arrive in order"
            await harness.unsubscribe(neighbour)

    asyncio.run(scenario())


def test_published_permissions_and_dropped_fields_notify(url: str) -> None:
    async def scenario() -> None:
        async with subscribing(url) as harness:
            await harness.subscribe(CARL)
            refused = Permission(1, 2, {"service": PurposePermission(False, 2, 0)})
            await asyncio.to_thread(harness.store.publish_permissions, {CARL: refused})
            await harness.until(lambda: harness.notified[CARL] == 1)
            await asyncio.to_thread(harness.store.drop_disallowed, {CARL: None})
            await harness.until(lambda: harness.notified[CARL] == 2)

    asyncio.run(scenario())


def test_an_unsubscribed_callback_is_not_called(url: str) -> None:
    async def scenario() -> None:
        async with subscribing(url) as harness:
            await harness.subscribe(ANN, BOB)
            counted_apart = partial(harness.count, "apart")
            await harness.changes.subscribe(ANN, counted_apart, 2)
            await harness.unsubscribe(ANN)
            harness.notified.clear()
            assert await harness.write(ANN, 9) == [WriteOutcome.DONE]
            await harness.until(lambda: harness.notified["apart"])
            assert harness.notified == {"apart": 1}
            await harness.changes.unsubscribe(ANN, counted_apart)
            await harness.unsubscribe(BOB)

    asyncio.run(scenario())


def test_reconnecting_notifies_every_subject(server: RedisServer) -> None:
    async def scenario() -> None:
        async with subscribing(server.url) as harness:
            await harness.subscribe(ANN, BOB)
            with Redis.from_url(server.url) as redis:
                await asyncio.to_thread(redis.execute_command, "CLIENT", "KILL", "TYPE", "pubsub")
                await harness.until(lambda: set(harness.notified.values()) == {2} and len(harness.notified) == 2)
                await harness.write(ANN, 1)
                await harness.until(lambda: harness.notified[ANN] == 3)
                assert redis.pubsub_numsub(subject_key(BOB)) == [(subject_key(BOB).encode(), 1)]

    asyncio.run(scenario())


def test_subscribing_fails_while_the_store_is_unreachable(server: RedisServer) -> None:
    async def scenario() -> None:
        async with subscribing(server.url) as harness:
            await harness.subscribe(ANN)
            server.kill()
            await harness.until(lambda: harness.notified[ANN] and not harness.changes.connected)
            with pytest.raises(StoreUnavailable):
                await harness.changes.subscribe(BOB, lambda: None, 0.1)
            harness.notified.clear()
            await asyncio.to_thread(server.start)
            await harness.until(lambda: harness.notified[ANN])
            await asyncio.to_thread(harness.store.publish_permissions, {ANN: PERMISSION})
            await harness.until(lambda: harness.notified[ANN] >= 2)
            await harness.subscribe(BOB)

    asyncio.run(scenario())


def test_a_new_store_incarnation_notifies_every_subject(server: RedisServer) -> None:
    """What was read from an earlier incarnation may have changed."""

    async def scenario() -> None:
        async with subscribing(server.url) as harness:
            await harness.subscribe(ANN)
            await asyncio.to_thread(vouch, harness.store)
            await harness.until(lambda: harness.notified[ANN])

    asyncio.run(scenario())


@pytest.mark.timeout(120)
def test_the_promoted_primary_notifies_after_a_failover(tmp_path: Path) -> None:
    async def scenario(cluster: RedisCluster) -> None:
        async with subscribing(cluster.url) as harness:
            await harness.subscribe(*SUBJECTS)
            node = (await asyncio.to_thread(harness.store.nodes))[0]
            moved = [subject for subject in SUBJECTS if node.owns(subject)]
            assert moved
            primary = next(server for server in cluster.servers if node.name.endswith(f":{server.port}"))
            primary.kill()
            await harness.until(lambda: not harness.changes.connected)
            await harness.until(lambda: harness.changes.connected, within_s=30)
            await harness.until(lambda: all(harness.notified[subject] >= 2 for subject in moved))
            harness.notified.clear()
            await asyncio.to_thread(harness.store.publish_permissions, dict.fromkeys(SUBJECTS, PERMISSION))
            await harness.until(lambda: len(harness.notified) == len(SUBJECTS))

    with running(RedisCluster(tmp_path)) as cluster:
        asyncio.run(scenario(cluster))
