"""Word of changes from real servers: told once a write, and again after whatever may have kept word away."""

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

SUBJECTS = [f"{i:032x}" for i in range(30)]
ANN, BOB = SUBJECTS[:2]
CARL = "c" * 32  # whose permission ends
PERMISSION = Permission(1, 1, {"service": PurposePermission(True, 1, 0)})
STORES = ["redis_server", "valkey_server", "redis_cluster"]


def value(offset: int, grant: int = 1) -> bytes:
    return pack_field(1, offset, grant, b"value")


class Following:
    """A store, word of its changes, and how often each subject was told of."""

    def __init__(self, url: str, threads: ThreadPoolExecutor):
        self.store = store_at(url, 1_000)
        self.changes = ChangeNotifier(self.store, threads)
        self.told: Counter[str] = Counter()
        self._tellers: dict[str, Callable[[], None]] = {}

    async def follow(self, *subjects: str) -> None:
        for subject in subjects:
            self._tellers[subject] = partial(self.tell, subject)
            await self.changes.subscribe(subject, self._tellers[subject], 2)
        self.told.clear()

    async def leave(self, subject: str) -> None:
        await self.changes.unsubscribe(subject, self._tellers.pop(subject))

    def tell(self, subject: str) -> None:
        self.told[subject] += 1

    async def write(self, subject: str, offset: int, grant: int = 1, fields: int = 1) -> list[WriteOutcome]:
        writes = [FieldWrite(subject, f"v{i}/service", "service", value(offset, grant)) for i in range(fields)]
        return await asyncio.to_thread(self.store.write, writes, 1)

    async def hears(self, true: Callable[[], Any], within_s: float = 5) -> None:
        deadline = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < deadline, self.told
            await asyncio.sleep(0.01)


@asynccontextmanager
async def following(url: str) -> AsyncIterator[Following]:
    with ThreadPoolExecutor(2) as threads:
        made = Following(url, threads)
        await asyncio.to_thread(made.store.publish_permissions, dict.fromkeys(SUBJECTS, PERMISSION))
        running = asyncio.create_task(made.changes.run())
        try:
            await made.hears(lambda: made.changes.connected)
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
    """One to be killed."""
    made = RedisServer(tmp_path)
    made.start()
    yield made
    made.stop()


def test_a_write_is_told_once_however_many_fields_it_has(url: str) -> None:
    async def scene() -> None:
        async with following(url) as shop:
            await shop.follow(*SUBJECTS[:-1])
            for subject in SUBJECTS:
                assert await shop.write(subject, 1, fields=3) == [WriteOutcome.DONE] * 3
            await shop.hears(lambda: len(shop.told) == len(SUBJECTS) - 1)
            assert set(shop.told.values()) == {1}

    asyncio.run(scene())


def test_what_is_refused_or_stale_is_no_change(url: str) -> None:
    async def scene() -> None:
        async with following(url) as shop:
            beside = next(one for one in SUBJECTS[1:] if shop.changes.node_of(one) is shop.changes.node_of(ANN))
            await shop.write(ANN, 5)
            await shop.follow(ANN, beside)
            assert await shop.write(ANN, 4) == [WriteOutcome.STALE]
            assert await shop.write(ANN, 6, grant=2) == [WriteOutcome.REFUSED]
            await shop.write(beside, 1)
            await shop.hears(lambda: shop.told[beside])
            assert shop.told == {beside: 1}, "on one connection what was said before has been heard"
            await shop.leave(beside)

    asyncio.run(scene())


def test_a_permission_and_a_sweep_are_told(url: str) -> None:
    async def scene() -> None:
        async with following(url) as shop:
            await shop.follow(CARL)
            refused = Permission(1, 2, {"service": PurposePermission(False, 2, 0)})
            await asyncio.to_thread(shop.store.publish_permissions, {CARL: refused})
            await shop.hears(lambda: shop.told[CARL] == 1)
            await asyncio.to_thread(shop.store.sweep, [CARL])
            await shop.hears(lambda: shop.told[CARL] == 2)

    asyncio.run(scene())


def test_who_left_is_not_told_any_more(url: str) -> None:
    async def scene() -> None:
        async with following(url) as shop:
            await shop.follow(ANN, BOB)
            again = partial(shop.tell, "again")
            await shop.changes.subscribe(ANN, again, 2)
            await shop.leave(ANN)
            shop.told.clear()
            assert await shop.write(ANN, 9) == [WriteOutcome.DONE]
            await shop.hears(lambda: shop.told["again"])
            assert shop.told == {"again": 1}
            await shop.changes.unsubscribe(ANN, again)
            await shop.leave(BOB)

    asyncio.run(scene())


def test_a_broken_line_is_made_again_and_everybody_is_told(server: RedisServer) -> None:
    async def scene() -> None:
        async with following(server.url) as shop:
            await shop.follow(ANN, BOB)
            with Redis.from_url(server.url) as redis:
                await asyncio.to_thread(redis.execute_command, "CLIENT", "KILL", "TYPE", "pubsub")
                await shop.hears(lambda: set(shop.told.values()) == {2} and len(shop.told) == 2)
                await shop.write(ANN, 1)
                await shop.hears(lambda: shop.told[ANN] == 3)
                assert redis.pubsub_numsub(subject_key(BOB)) == [(subject_key(BOB).encode(), 1)]

    asyncio.run(scene())


def test_while_the_store_is_away_nobody_can_follow(server: RedisServer) -> None:
    async def scene() -> None:
        async with following(server.url) as shop:
            await shop.follow(ANN)
            server.kill()
            await shop.hears(lambda: shop.told[ANN] and not shop.changes.connected)
            with pytest.raises(StoreUnavailable):
                await shop.changes.subscribe(BOB, lambda: None, 0.1)
            shop.told.clear()
            await asyncio.to_thread(server.start)
            await shop.hears(lambda: shop.told[ANN])
            await asyncio.to_thread(shop.store.publish_permissions, {ANN: PERMISSION})
            await shop.hears(lambda: shop.told[ANN] >= 2)
            await shop.follow(BOB)

    asyncio.run(scene())


def test_another_run_is_told_of_and_listened_to(server: RedisServer) -> None:
    """The voucher's word names the run: where it changes, what was said before may not be so any more."""

    async def scene() -> None:
        async with following(server.url) as shop:
            await shop.follow(ANN)
            run = await asyncio.to_thread(shop.store.run)
            assert await asyncio.to_thread(shop.store.write_claim, run, 1, 1)
            assert await asyncio.to_thread(shop.store.vouch, run, 600_000)
            await shop.hears(lambda: shop.told[ANN])

    asyncio.run(scene())


@pytest.mark.timeout(120)
def test_after_a_fail_over_word_comes_from_the_new_primary(tmp_path: Path) -> None:
    async def scene(cluster: RedisCluster) -> None:
        async with following(cluster.url) as shop:
            await shop.follow(*SUBJECTS)
            node = (await asyncio.to_thread(shop.store.nodes))[0]
            moved = [subject for subject in SUBJECTS if node.owns(subject)]
            assert moved
            primary = next(server for server in cluster.servers if node.name.endswith(f":{server.port}"))
            primary.kill()
            await shop.hears(lambda: not shop.changes.connected)
            await shop.hears(lambda: shop.changes.connected, within_s=30)
            await shop.hears(lambda: all(shop.told[subject] >= 2 for subject in moved))
            shop.told.clear()
            await asyncio.to_thread(shop.store.publish_permissions, dict.fromkeys(SUBJECTS, PERMISSION))
            await shop.hears(lambda: len(shop.told) == len(SUBJECTS))

    with running(RedisCluster(tmp_path)) as cluster:
        asyncio.run(scene(cluster))
