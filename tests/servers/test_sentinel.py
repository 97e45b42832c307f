"""A primary that Sentinels name, by TLS and with passwords: every client of it, through a fail-over."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from devservers.certificates import Authority
from devservers.redis_sentinel import RedisSentinel
from devservers.server import running
from devservers.waiting import eventually
from featurestore.servers.redis_clients import async_client, redis_client
from featurestore.servers.redis_url import parse_redis_url
from featurestore.store.configured import store_at
from featurestore.store.protocol import StoreUnavailable
from tests.kit.stores import claim, vouch
from tests.servers.test_redis import FAILURES, by_asyncio, by_celery, by_own_connection, by_redis_py

pytestmark = pytest.mark.redis
CLIENTS: list[Callable[[str], Any]] = [by_own_connection, by_redis_py, by_asyncio, by_celery]


@pytest.fixture
def sentinel(tmp_path: Path, authority: Authority) -> Iterator[RedisSentinel]:
    with running(RedisSentinel(tmp_path, authority)) as made:
        yield made


def answers(client: Callable[[str], Any], url: str) -> bool:
    """Whether a client reads from the primary. A Sentinel says for a moment that a new primary is down."""
    try:
        return client(url) == b"2"
    except FAILURES:
        return False


def test_every_client_follows_a_failover(sentinel: RedisSentinel) -> None:
    url = sentinel.url(database=2)
    store = store_at(sentinel.url(), 500)
    vouch(store)
    first = store.run()
    assert store.read([], [], [], 500).vouched
    with redis_client(url, socket_timeout=5) as kept:
        kept.set("limit:at", "2")
        assert kept.wait(1, 5_000) == 1, "the replica has it"
        assert [client(url) for client in CLIENTS] == [b"2"] * 4
        sentinel.kill_primary()

        def failed_over() -> bool:
            try:
                return store.run() != first
            except StoreUnavailable:
                return False

        eventually(failed_over, "the replica is the primary", 20)
        assert not store.read([], [], [], 500).vouched, "the promoted run must be vouched for anew"
        claim(store)
        vouch(store)
        assert store.read([], [], [], 500).vouched
        for client in (lambda _: kept.get("limit:at"), *CLIENTS):
            eventually(partial(answers, client, url), "every client finds the primary", 10)


def test_an_answer_that_is_not_vouched_for_makes_it_ask_the_sentinels(
    sentinel: RedisSentinel, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(sentinel.url(), 500)
    made = []
    connect = type(store.server)._connect
    monkeypatch.setattr(type(store.server), "_connect", lambda *given: made.append(given) or connect(*given))
    store.read([], [], [], 500)
    store.read([], [], [], 500)
    assert len(made) == 1, "not at each read"
    store.server._connected_s -= 1
    store.read([], [], [], 500)
    store.read([], [], [], 500)
    assert len(made) == 2


def test_a_replica_is_not_taken_for_the_primary(sentinel: RedisSentinel, monkeypatch: pytest.MonkeyPatch) -> None:
    replica = ("127.0.0.1", sentinel.servers[1].port)
    monkeypatch.setattr("featurestore.store.sentinel._named_primary", lambda *_: replica)
    with pytest.raises(StoreUnavailable, match="as the primary of rapport-store, and it is none"):
        store_at(sentinel.url(), 500).run()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("/rapport-store/", "/other/"), "knows no primary other"),
        (("sentinel_password=", "sentinel_password=x"), "WRONGPASS"),
        (("@", "x@"), "WRONGPASS"),
    ],
)
def test_the_error_says_what_the_sentinels_or_the_server_refuse(
    sentinel: RedisSentinel, changed: tuple[str, str], message: str
) -> None:
    with pytest.raises(StoreUnavailable, match=message):
        store_at(sentinel.url().replace(*changed), 500).run()


def test_change_notifications_follow_the_sentinels(sentinel: RedisSentinel) -> None:
    async def ping() -> Any:
        pool = async_client(parse_redis_url(sentinel.url()), protocol=2).connection_pool
        connection = pool.make_connection()
        await connection.connect()
        try:
            await connection.send_command("SUBSCRIBE", "fs:{s}")
            return await connection.read_response()
        finally:
            await connection.disconnect()

    assert asyncio.run(ping())[:2] == [b"subscribe", b"fs:{s}"]
