"""A Redis by TLS with a private authority, by a Unix socket with a database, with users: every client of it."""

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from kombu import Connection as CeleryConnection
from kombu.exceptions import OperationalError
from redis.exceptions import NoPermissionError, RedisError

from devservers.certificates import Authority
from devservers.secure_redis import SecureRedis
from featurestore.accesslog.stream import FIELD, QUARANTINE_KEY, RecordStream
from featurestore.permission import Permission, PurposePermission
from featurestore.servers.celery_broker import celery_broker
from featurestore.servers.redis_clients import async_client, redis_client
from featurestore.servers.redis_url import parse_redis_url
from featurestore.store.configured import store_at
from featurestore.store.protocol import StoreUnavailable
from featurestore.store.server import Server, complete
from tests.kit.stores import vouch

DATABASE = 3
Client = Callable[[str], Any]


def by_own_connection(url: str) -> Any:
    with closing(Server(url)) as server:
        _, (found,) = complete(server.request([("GET", "limit:at")], time.monotonic() + 5))
        return found


def by_redis_py(url: str) -> Any:
    with redis_client(url, socket_timeout=5) as client:
        return client.get("limit:at")


def by_asyncio(url: str) -> Any:
    async def get() -> Any:
        async with async_client(parse_redis_url(url), socket_timeout=5) as client:
            return await client.get("limit:at")

    return asyncio.run(get())


def by_celery(url: str) -> Any:
    broker = celery_broker(url)
    options = {"socket_timeout": 5, "max_retries": 1, "interval_start": 0, **broker.transport_options}
    with CeleryConnection(broker.url, ssl=broker.use_ssl or False, transport_options=options) as connection:
        return connection.default_channel.client.get("limit:at")


CLIENTS = [by_own_connection, by_redis_py, by_asyncio, by_celery]
FAILURES = (StoreUnavailable, RedisError, OperationalError, OSError)
of_every_client = pytest.mark.parametrize("client", CLIENTS)


@pytest.fixture
def urls(secure_control: SecureRedis) -> dict[str, str]:
    """URLs of one database, in which a key says so."""
    with redis_client(secure_control.url_of("operator", DATABASE)) as client:
        client.set("limit:at", DATABASE)
    return {
        "tls": secure_control.url_of("api", DATABASE),
        "tls by name": secure_control.url_of("api", DATABASE, host="localhost"),
        "socket": secure_control.socket_url_of("api", DATABASE),
    }


@of_every_client
@pytest.mark.parametrize("form", ["tls", "tls by name", "socket"])
def test_every_client_reaches_the_same_database(client: Client, form: str, urls: dict[str, str]) -> None:
    assert client(urls[form]) == str(DATABASE).encode()


@of_every_client
def test_no_client_trusts_another_authority(client: Client, urls: dict[str, str], tmp_path: Any) -> None:
    for ca in ("", f"?ssl_ca_certs={Authority(tmp_path).file}"):
        with pytest.raises(FAILURES, match="certificate verify failed"):
            client(urls["tls"].partition("?")[0] + ca)


@of_every_client
def test_no_client_accepts_a_certificate_of_another_host(client: Client, urls: dict[str, str]) -> None:
    with pytest.raises(FAILURES, match=r"mismatch|doesn't match"):
        client(urls["tls"].replace("127.0.0.1", "127.0.0.2"))


@of_every_client
def test_every_client_shows_its_certificate(client: Client, urls: dict[str, str], secure_control: SecureRedis) -> None:
    stranger = Authority(secure_control.folder / "strangers").identity("stranger")
    known = secure_control.authority.identity("client")
    for shown, accepted in ((known, True), (stranger, False)):
        url = f"{urls['tls']}&ssl_certfile={shown.certificate}&ssl_keyfile={shown.key}"
        if accepted:
            assert client(url) == str(DATABASE).encode()
        else:
            with pytest.raises(FAILURES):
                client(url)


@pytest.mark.parametrize(
    ("server", "user", "command"),
    [
        ("store", "api", "SET fs:vouch x"),
        ("store", "api", "DEL fs:highest-change"),
        ("store", "api", "KEYS *"),
        ("store", "streams", "SET fs:vouch x"),
        ("store", "streams", "DEL fs:latch"),
        ("store", "celery", "SET fs:vouch x"),
        ("store", "verifier", "FLUSHALL"),
        ("store", "verifier", "SET other x"),
        ("control", "api", "LPUSH celery x"),
        ("control", "api", "XDEL access:records 1-1"),
        ("control", "admin", "BRPOP celery 1"),
        ("control", "celery", "CONFIG GET dir"),
        ("control", "celery", "SET limit:x 1"),
    ],
)
def test_no_user_may_do_what_others_do(
    server: str, user: str, command: str, secure_store: SecureRedis, secure_control: SecureRedis
) -> None:
    url = {"store": secure_store, "control": secure_control}[server].url_of(user)
    with redis_client(url) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command.split())
    with redis_client({"store": secure_store, "control": secure_control}[server].url) as operator:
        operator.acl_log_reset()


@pytest.mark.parametrize("user", ["api", "celery", "verifier"])
def test_whoever_finds_lost_commits_may_deny_every_read(user: str, secure_store: SecureRedis) -> None:
    with redis_client(secure_store.url) as operator:
        operator.flushall()
    store = store_at(secure_store.url_of(user), 500)
    vouch(store_at(secure_store.url, 500))
    assert store.read([], [], [], 500).vouched
    store.latch(epoch=1)
    assert not store.read([], [], [], 500).vouched


def test_celery_may_read_and_erase_what_data_locations_own(
    secure_store: SecureRedis, secure_control: SecureRedis
) -> None:
    erased, allowed = "a" * 32, "b" * 32
    permission = Permission(1, 1, {"service": PurposePermission(True, 1, 1)})
    store_at(secure_store.url, 500).publish_permissions({erased: Permission(1, 1), allowed: permission})
    store = store_at(secure_store.url_of("celery"), 500)
    assert store.contents([erased, allowed]) == [{"p": Permission(1, 1).encode()}, {"p": permission.encode()}]
    assert store.erase([erased, allowed]) == {allowed}
    assert store.contents([erased]) == [{}]
    with redis_client(secure_control.url) as operator:
        operator.delete(QUARANTINE_KEY)
        added = operator.xadd(QUARANTINE_KEY, {FIELD: b"batch"})
    stream = RecordStream(secure_control.url_of("celery"), 5)
    assert [entry.id for entry in stream.after(QUARANTINE_KEY, "0-0", 10)] == [added]
    stream.delete_quarantined([added])
    assert stream.after(QUARANTINE_KEY, "0-0", 10) == []
