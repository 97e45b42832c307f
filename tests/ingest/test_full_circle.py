"""The whole way, with the real processes: put aside, mended, replayed, counted once."""

import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Producer

from devservers.redis_server import RedisServer
from featurestore import names
from featurestore.catalog.orders import OrderLine, orders
from featurestore.identity import partition_of, subject_of
from streams.processing import MAX_CLOCK_SKEW_S
from devservers.installation import Installation, installation
from devservers.waiting import eventually

FORGET = "from featurestore.ingest.models import DeadLetter; DeadLetter.objects.update(state='open')"
PARTITIONS = 4


class Ann:
    """A customer whose orders come in well and badly."""

    def __init__(self, made: Installation, api: httpx.Client) -> None:
        self.made, self.api, self.numbers = made, api, itertools.count()
        self.subject = subject_of("ann", str(made.settings["subject_secret"]).encode())
        self.home = partition_of(self.subject, PARTITIONS)
        self.topic = names.events("orders", int(str(made.settings["generation"])))
        self.producer = Producer({"bootstrap.servers": str(made.settings["kafka_bootstrap"]), "log_level": 0})

    def agrees(self) -> None:
        self.api.post("/v1/customers", json={"customer_id": "ann", "region": "EU", "brand": "lamp"})
        decision = {"purpose": "service", "decision": "given", "notice": "privacy/1/en", "method": "chat"}
        answer = self.api.post("/v1/consents", json={"customer_id": "ann", **decision})
        assert answer.status_code == 201, answer.text
        since_s = datetime.fromisoformat(answer.json()["since"]).timestamp()
        eventually(lambda: time.time() > since_s, "the consent counts")

    def buys(self, amount: int, *, ahead_s: float = 0, partition: int | None = None) -> None:
        line = OrderLine(kind="completed", order_id="O", sku="LAMP", quantity=1, amount=Decimal(amount))
        at = datetime.now(UTC) + timedelta(seconds=ahead_s)
        raw = orders.encode(id=str(next(self.numbers)), source="test", subject=self.subject, time=at, data=line)
        there = self.home if partition is None else partition
        self.producer.produce(self.topic, raw, self.subject.encode(), there)
        assert self.producer.flush(20) == 0

    def spent(self) -> float:
        question = {"service": "support_chat", "purpose": "service", "customer_id": "ann"}
        answer = self.api.post("/v1/features", json=question)
        return float(answer.json()["features"]["spend_amount_sum_1h"]) if answer.status_code == 200 else -1


@pytest.fixture
def ann(kafka: str, tmp_path: Path) -> Iterator[Ann]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    with installation(tmp_path, kafka=kafka, store=server.url, partitions=PARTITIONS) as made:
        made.prepare()
        made.start_store_verifier()
        made.start_worker()
        api = made.start_api()
        eventually(lambda: api.get("/readyz").status_code == 200, "the API is ready")
        yield Ann(made, api)
    server.stop()


@pytest.mark.timeout(300)
def test_what_was_put_aside_counts_once_when_it_is_replayed_even_twice(ann: Ann) -> None:
    ann.agrees()
    ann.buys(1)
    ann.buys(20, partition=(ann.home + 1) % PARTITIONS)  # a sender that knows another number of partitions
    ann.buys(400, ahead_s=MAX_CLOCK_SKEW_S + 5)  # a sender whose clock is ahead
    soon = time.time() + 5
    eventually(lambda: ann.spent() == 1, "the good one is served")
    eventually(lambda: "misplaced" in listed(ann) and "future" in listed(ann), "two letters", every_s=0.5)

    assert "1 replayed" in ann.made.manage("deadletters", "replay", "--all", "--reason", "misplaced").stdout
    eventually(lambda: ann.spent() == 21, "sent to its own partition it counts")
    eventually(lambda: time.time() > soon, "the other's time is near enough")
    assert "1 replayed" in ann.made.manage("deadletters", "replay", "--all").stdout
    eventually(lambda: ann.spent() == 421, "it counts")
    assert "No letter waits." in listed(ann)

    ann.made.manage("shell", "-c", FORGET)  # a database that lost the decisions
    assert "2 replayed" in ann.made.manage("deadletters", "replay", "--all").stdout
    ann.buys(5000)
    eventually(lambda: ann.spent() >= 5421, "what was sent later is served")
    assert ann.spent() == 5421, "the second replays were recognised"


def listed(ann: Ann) -> str:
    return ann.made.manage("deadletters", "list").stdout
