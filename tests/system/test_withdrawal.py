"""A withdrawal against the real processes: denied at once, nothing kept of what comes later, nothing comes back."""

import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from confluent_kafka import Producer
from redis import Redis

from devservers.installation import Installation, installation
from devservers.redis_server import RedisServer
from devservers.waiting import eventually
from featurestore import names
from featurestore.catalog.orders import OrderLine, orders
from featurestore.identity import partition_of, subject_of

ANN = "ann"
PARTITIONS = 4
numbers = itertools.count()


class Shop:
    """Customers who decide and buy, and a bot that asks about them."""

    def __init__(self, made: Installation) -> None:
        self.made, self.api = made, made.start_api()
        self.producer = Producer({"bootstrap.servers": str(made.settings["kafka_bootstrap"]), "log_level": 0})

    def subject(self, customer: str) -> str:
        return subject_of(customer, str(self.made.settings["subject_secret"]).encode())

    def neighbours(self, customer: str, count: int) -> list[str]:
        """Customers of the same partition: when a later event of theirs is served, earlier ones have been folded."""
        home = partition_of(self.subject(customer), PARTITIONS)
        found = (f"{customer}-{i}" for i in itertools.count())
        return list(itertools.islice((c for c in found if partition_of(self.subject(c), PARTITIONS) == home), count))

    def decide(self, customer: str, decision: str) -> httpx.Response:
        body = {"customer_id": customer, "purpose": "service", "decision": decision, "method": "chat"}
        return self.api.post("/v1/consents", json=body | ({"notice": "privacy/1/en"} if decision == "given" else {}))

    def agree(self, *customers: str) -> None:
        """Register, consent, and wait until the consent counts."""
        for customer in customers:
            self.api.post("/v1/customers", json={"customer_id": customer, "region": "EU", "brand": "lamp"})
            answer = self.decide(customer, "given")
            assert answer.status_code == 201, answer.text
        since_s = datetime.fromisoformat(answer.json()["since"]).timestamp()
        eventually(lambda: time.time() > since_s, "the consent counts")

    def buys(self, customer: str, amount: str = "10.00") -> None:
        line = OrderLine(kind="completed", order_id="O", sku="LAMP", quantity=1, amount=Decimal(amount))
        subject = self.subject(customer)
        raw = orders.encode(id=str(next(numbers)), source="test", subject=subject, time=datetime.now(UTC), data=line)
        topic = names.events("orders", int(str(self.made.settings["generation"])))
        self.producer.produce(topic, raw, key=subject.encode(), partition=partition_of(subject, PARTITIONS))
        self.producer.flush()

    def ask(self, customer: str) -> httpx.Response:
        body = {"service": "support_chat", "purpose": "service", "customer_id": customer}
        return self.api.post("/v1/features", json=body)

    def spend(self, customer: str) -> tuple[str, float]:
        """Status and sum of what a customer spent; ("away", 0) while the store is."""
        answer = self.ask(customer)
        if answer.status_code == 503:
            return "away", 0
        found: dict[str, Any] = answer.json()
        return found["views"]["spend"]["status"], found["features"]["spend_amount_sum_1h"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A store to be killed."""
    made = RedisServer(tmp_path_factory.mktemp("withdrawal-redis"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def shop(kafka: str, server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("withdrawal")
    with installation(folder, kafka=kafka, store=server.url, partitions=PARTITIONS) as made:
        made.prepare()
        made.start_store_verifier()
        made.start_worker()
        shop = Shop(made)
        eventually(lambda: shop.api.get("/readyz").status_code == 200, "the API is ready")
        yield shop


@pytest.mark.timeout(300)
def test_what_comes_after_a_withdrawal_leaves_nothing_and_nothing_comes_back(shop: Shop, server: RedisServer) -> None:
    (witness,) = shop.neighbours(ANN, 1)
    shop.agree(ANN, witness)
    shop.buys(ANN)
    shop.buys(ANN)
    eventually(lambda: shop.spend(ANN) == ("present", 20), "what was bought is served")

    assert shop.decide(ANN, "withdrawn").status_code == 201
    assert shop.spend(ANN) == ("withheld", 0)
    shop.buys(ANN)
    shop.buys(witness)
    eventually(lambda: shop.spend(witness) == ("present", 10), "later events are folded")
    with Redis.from_url(server.url) as redis:
        kept = redis.hkeys("fs:{" + shop.subject(ANN) + "}")
    assert set(kept) == {b"p", b"order_risk/fraud"}, "only the law's purpose, which needs no consent, keeps values"

    shop.agree(ANN)
    shop.buys(witness)
    eventually(lambda: shop.spend(witness) == ("present", 20), "later events are folded")
    assert shop.spend(ANN) == ("missing", 0)
    shop.buys(ANN, "1.00")
    eventually(lambda: shop.spend(ANN) == ("present", 1), "what is bought under the new consent is served")


@pytest.mark.timeout(300)
def test_a_withdrawal_while_the_store_is_away_holds_from_its_return(shop: Shop, server: RedisServer) -> None:
    bob, carl = shop.neighbours("bob", 2)
    shop.agree(bob, carl)
    shop.buys(bob)
    shop.buys(carl)
    eventually(lambda: (shop.spend(bob), shop.spend(carl)) == (("present", 10),) * 2, "both are served")

    server.kill()
    answer = shop.decide(bob, "withdrawn")
    assert (answer.status_code, answer.json()["effective"]) == (202, False)
    began = time.monotonic()
    refused = shop.ask(bob)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    assert time.monotonic() - began < 2  # 250 ms, and what a busy machine adds
    shop.buys(carl)

    server.start()  # empty
    seen = set[str]()

    def carl_is_back() -> bool:
        seen.add(shop.spend(bob)[0])
        return shop.spend(carl) == ("present", 20)

    eventually(carl_is_back, "the streams have pushed every value again, and what came meanwhile")
    assert seen <= {"away", "withheld"}, "what was withdrawn was never served"
    assert shop.spend(bob) == ("withheld", 0)


@pytest.mark.timeout(300)
def test_a_rebuild_puts_everything_in_again_and_denies_meanwhile(shop: Shop, server: RedisServer) -> None:
    dora, eva = shop.neighbours("dora", 2)
    shop.agree(dora, eva)
    shop.buys(dora)
    shop.buys(eva)
    eventually(lambda: (shop.spend(dora), shop.spend(eva)) == (("present", 10),) * 2, "both are served")
    with Redis.from_url(server.url) as redis:
        redis.hdel("fs:{" + shop.subject(dora) + "}", "p")  # what a repair by hand may do
        redis.hdel("fs:{" + shop.subject(eva) + "}", "spend/service")
    assert shop.spend(dora)[0] == "withheld"
    assert shop.spend(eva)[0] == "missing"
    said = shop.made.run("-m", "streams", "republish").stdout.splitlines()
    assert said[0].startswith("vouched for 0 of 1; pushed 0 of ")
    assert said[-1] == "vouched for 1 of 1; pushed 20 of 20 partitions"
    eventually(lambda: (shop.spend(dora), shop.spend(eva)) == (("present", 10),) * 2, "both are served again")
