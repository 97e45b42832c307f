"""A customer's hash, or the values in it, leave the store, with the real processes."""

from collections.abc import Iterator

import pytest
from redis import Redis

from devservers.redis_server import RedisServer
from devservers.waiting import eventually
from featurestore.serving.answer import EVICTED
from featurestore.store.redis import subject_key
from tests.system.shop import Shop, open_shop

AUDIT = """
from devservers.waiting import eventually
from featurestore.audit.consent_audit import run_audit
print(eventually(lambda: run_audit().found, "the audit found the lost hash, once the store is vouched for"))
"""
EVICT = "from featurestore.store import configured; print(configured.store().evict([{!r}], 2**32)[0])"
CONSUME = "from featurestore.accesslog.consumer import consume_pending; consume_pending()"
RELAY = "from featurestore.consent.outbox.relay import relay_due; relay_due()"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shop(kafka: str, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop"), kafka=kafka, store=redis.url) as made:
        yield made


def start(shop: Shop, customer: str) -> str:
    """The start that the answer about a customer's spending states."""
    stated: str = shop.read(customer).json()["views"]["spend"]["start"]
    return stated


def lose_hash_and_order(shop: Shop, redis: RedisServer, customer: str, neighbour: str) -> str:
    """Serve an order of a customer, delete the hash, and have another order skipped; the start until then."""
    shop.give_consent(customer, neighbour)
    shop.buy(customer, "10.00")
    eventually(lambda: shop.spend(customer) == ("present", 10), "the order is served")
    stated = start(shop, customer)
    with Redis(port=redis.port) as client:
        client.delete(subject_key(shop.subject(customer)))
    assert shop.spend(customer)[0] == "withheld"
    shop.buy(customer, "200.00")
    shop.buy(neighbour)
    eventually(lambda: shop.spend(neighbour) == ("present", 10), "the order of the same partition is processed")
    return stated


def buy_after_the_start(shop: Shop, customer: str, later: str) -> None:
    eventually(lambda: shop.read(customer).json()["at"] > later, "the new start")
    shop.buy(customer, "5.00")
    eventually(lambda: shop.spend(customer) == ("present", 15), "later orders count")


@pytest.mark.timeout(300)
def test_deleted_hash_is_withheld_then_stale_then_present_with_a_later_start(shop: Shop, redis: RedisServer) -> None:
    stated = lose_hash_and_order(shop, redis, "ann", shop.neighbours("ann", 1)[0])
    assert shop.made.manage("shell", "-c", AUDIT).stdout.split()[-1] == "1"
    eventually(lambda: shop.spend("ann")[0] == "stale", "the audit or the store verifier published the permission")
    assert start(shop, "ann") > stated
    shop.made.manage("shell", "-c", RELAY)
    eventually(lambda: shop.spend("ann") == ("present", 10), "what was counted before is pushed again")
    later = start(shop, "ann")
    assert later > stated, "the skipped order is not claimed"
    buy_after_the_start(shop, "ann", later)


@pytest.mark.timeout(300)
def test_skipped_order_is_not_claimed_after_the_store_was_emptied(shop: Shop, redis: RedisServer) -> None:
    """Nothing in the emptied store tells that the hash had been deleted before, and that an order was skipped then."""
    stated = lose_hash_and_order(shop, redis, "bob", shop.neighbours("bob", 1)[0])
    with Redis(port=redis.port) as client:
        client.flushall()
    eventually(lambda: shop.spend("bob") == ("present", 10), "what was counted before is pushed again")
    later = start(shop, "bob")
    assert later > stated, "the skipped order is not claimed"
    buy_after_the_start(shop, "bob", later)


def evict(shop: Shop, customer: str) -> None:
    """Evict a customer, as if idle; the next read is stale, without a value."""
    freed = shop.made.manage("shell", "-c", EVICT.format(shop.subject(customer))).stdout.split()[-1]
    assert int(freed) > 0
    answer = shop.read(customer).json()
    assert (answer["views"]["spend"]["status"], answer["views"]["spend"]["reason"]) == ("stale", EVICTED)
    assert answer["features"]["spend_amount_sum_1h"] is None


@pytest.mark.timeout(300)
def test_values_of_an_idle_customer_come_back_after_a_read_and_after_an_order(shop: Shop) -> None:
    shop.give_consent("carl")
    shop.buy("carl", "10.00")
    eventually(lambda: shop.spend("carl") == ("present", 10), "the order is served")
    stated = start(shop, "carl")
    evict(shop, "carl")

    def consume_and_read() -> tuple[str, float | None]:
        shop.made.manage("shell", "-c", CONSUME)
        return shop.spend("carl")

    eventually(
        lambda: consume_and_read() == ("present", 10), "the access record of the read has the values pushed again", 120
    )
    assert start(shop, "carl") == stated, "nothing was lost"
    evict(shop, "carl")
    shop.buy("carl", "200.00")
    eventually(lambda: shop.spend("carl") == ("present", 210), "the order brings all values back")
