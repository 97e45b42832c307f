"""A customer's hash is deleted from the store by somebody else, with the real processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from devservers.redis_server import RedisServer
from devservers.waiting import eventually
from featurestore.store.redis import subject_key
from tests.system.shop import Shop, open_shop

AUDIT = "from featurestore.audit.consent_audit import run_audit; print(run_audit().repaired)"
RELAY = "from featurestore.consent.outbox.relay import relay_due; relay_due()"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def shop(kafka: str, redis: RedisServer, tmp_path: Path) -> Iterator[Shop]:
    with open_shop(tmp_path, kafka=kafka, store=redis.url) as made:
        yield made


@pytest.mark.timeout(300)
def test_deleted_hash_is_withheld_then_stale_then_present_with_a_later_start(shop: Shop, redis: RedisServer) -> None:
    neighbour = shop.neighbours("ann", 1)[0]
    shop.give_consent("ann", neighbour)
    shop.buy("ann", "10.00")
    eventually(lambda: shop.spend("ann") == ("present", 10), "the order is served")
    start = shop.read("ann").json()["views"]["spend"]["start"]

    with Redis(port=redis.port) as client:
        client.delete(subject_key(shop.subject("ann")))
    assert shop.read("ann").json()["views"]["spend"]["status"] == "withheld"
    shop.buy("ann", "200.00")
    shop.buy(neighbour)
    eventually(lambda: shop.spend(neighbour) == ("present", 10), "the order of the same partition is processed")

    assert shop.made.manage("shell", "-c", AUDIT).stdout.split()[-1] == "1"
    view = shop.read("ann").json()["views"]["spend"]
    assert view["status"] == "stale"
    assert view["start"] > start
    shop.made.manage("shell", "-c", RELAY)
    eventually(lambda: shop.spend("ann") == ("present", 10), "what was counted before is pushed again")
    later = shop.read("ann").json()["views"]["spend"]["start"]
    assert later > start, "the skipped order is not claimed"

    eventually(lambda: shop.read("ann").json()["at"] > later, "the new start")
    shop.buy("ann", "5.00")
    eventually(lambda: shop.spend("ann") == ("present", 15), "later orders count")
