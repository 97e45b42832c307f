"""A withdrawal against the real processes: denied at once, later events leave nothing, nothing comes back."""

import time
from collections.abc import Iterator

import pytest
from redis import Redis

from devservers.redis_server import RedisServer
from devservers.waiting import eventually
from tests.system.shop import Shop, open_shop

ANN = "ann"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A store of this module's own, which it kills."""
    made = RedisServer(tmp_path_factory.mktemp("withdrawal-redis"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def shop(kafka: str, server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("withdrawal"), kafka=kafka, store=server.url) as shop:
        yield shop


@pytest.mark.timeout(300)
def test_later_events_leave_nothing_and_nothing_comes_back(shop: Shop, server: RedisServer) -> None:
    (witness,) = shop.neighbours(ANN, 1)
    shop.give_consent(ANN, witness)
    shop.buy(ANN)
    shop.buy(ANN)
    eventually(lambda: shop.spend(ANN) == ("present", 20), "the orders are served")

    assert shop.decide(ANN, "withdrawn").status_code == 201
    assert shop.spend(ANN) == ("withheld", None)
    shop.buy(ANN)
    shop.buy(witness)
    eventually(lambda: shop.spend(witness) == ("present", 10), "later events are processed")
    with Redis.from_url(server.url) as redis:
        kept = redis.hkeys("fs:{" + shop.subject(ANN) + "}")
    assert set(kept) == {b"p", b"order_risk/fraud"}, "only the legal obligation, which needs no consent, keeps values"

    shop.give_consent(ANN)
    shop.buy(witness)
    eventually(lambda: shop.spend(witness) == ("present", 20), "later events are processed")
    assert shop.spend(ANN) == ("missing", 0)
    shop.buy(ANN, "1.00")
    eventually(lambda: shop.spend(ANN) == ("present", 1), "an order under the new consent is served")


@pytest.mark.timeout(300)
def test_withdrawal_while_the_store_is_down_holds_from_its_return(shop: Shop, server: RedisServer) -> None:
    bob, carl = shop.neighbours("bob", 2)
    shop.give_consent(bob, carl)
    shop.buy(bob)
    shop.buy(carl)
    eventually(lambda: (shop.spend(bob), shop.spend(carl)) == (("present", 10),) * 2, "both are served")

    server.kill()
    answer = shop.decide(bob, "withdrawn")
    assert (answer.status_code, answer.json()["effective"]) == (202, False)
    began = time.monotonic()
    refused = shop.read(bob)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    assert time.monotonic() - began < 15  # 250 ms, and what a busy machine adds
    shop.buy(carl)

    server.start()  # empty
    seen = set[str]()

    def carl_is_served() -> bool:
        seen.add(shop.spend(bob)[0])
        return shop.spend(carl) == ("present", 20)

    eventually(carl_is_served, "the streams have republished every value, and added later orders")
    assert seen <= {"unavailable", "withheld"}, "withdrawn values were never served"
    assert shop.spend(bob) == ("withheld", None)


@pytest.mark.timeout(300)
def test_republication_restores_every_value_and_denies_meanwhile(shop: Shop, server: RedisServer) -> None:
    dora, eva = shop.neighbours("dora", 2)
    shop.give_consent(dora, eva)
    shop.buy(dora)
    shop.buy(eva)
    eventually(lambda: (shop.spend(dora), shop.spend(eva)) == (("present", 10),) * 2, "both are served")
    with Redis.from_url(server.url) as redis:
        redis.hdel("fs:{" + shop.subject(dora) + "}", "p")  # what a repair by hand may do
        redis.hdel("fs:{" + shop.subject(eva) + "}", "spend/service")
    assert shop.spend(dora)[0] == "withheld"
    assert shop.spend(eva)[0] == "missing"
    lines = shop.made.run("-m", "streams", "republish").stdout.splitlines()
    assert lines[0].startswith("vouched for 0 of 1; pushed 0 of ")
    assert lines[-1] == "vouched for 1 of 1; pushed 20 of 20 partitions"
    eventually(lambda: (shop.spend(dora), shop.spend(eva)) == (("present", 10),) * 2, "both are served again")
