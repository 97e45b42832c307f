"""Dead letters with the real processes: an event is quarantined, its cause fixed, replayed, counted once."""

import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from devservers.installation import Installation, installation
from devservers.redis_server import RedisServer
from devservers.waiting import eventually
from featurestore import names
from featurestore.catalog.orders import OrderLine, orders
from featurestore.identity import partition_of, subject_of
from streams.processing import MAX_CLOCK_SKEW_S

REOPEN_ALL = "from featurestore.ingest.models import DeadLetter; DeadLetter.objects.update(state='open')"
PARTITIONS = 4


class CustomerHarness:
    """A customer whose orders are partly valid."""

    def __init__(self, made: Installation, api: httpx.Client) -> None:
        self.made, self.api, self.numbers = made, api, itertools.count()
        self.subject = subject_of("ann", str(made.settings["subject_secret"]).encode())
        self.home = partition_of(self.subject, PARTITIONS)
        self.topic = names.events("orders", int(str(made.settings["generation"])))
        self.producer = Producer({"bootstrap.servers": str(made.settings["kafka_bootstrap"]), "log_level": 0})

    def give_consent(self) -> None:
        self.api.post("/v1/customers", json={"customer_id": "ann", "region": "EU", "brand": "lamp"})
        decision = {"purpose": "service", "decision": "given", "notice": "privacy/1/en", "method": "chat"}
        answer = self.api.post("/v1/consents", json={"customer_id": "ann", **decision})
        assert answer.status_code == 201, answer.text
        since_s = datetime.fromisoformat(answer.json()["since"]).timestamp()
        eventually(lambda: time.time() > since_s, "the consent is in effect")

    def send_order(self, amount: int, *, ahead_s: float = 0, partition: int | None = None) -> None:
        line = OrderLine(kind="completed", order_id="O", sku="LAMP", quantity=1, amount=Decimal(amount))
        at = datetime.now(UTC) + timedelta(seconds=ahead_s)
        raw = orders.encode(id=str(next(self.numbers)), source="test", subject=self.subject, time=at, data=line)
        there = self.home if partition is None else partition
        self.producer.produce(self.topic, raw, self.subject.encode(), there)
        assert self.producer.flush(20) == 0

    def dead_letters(self) -> int:
        """Number of records in the dead-letter topic."""
        consumer = Consumer({"bootstrap.servers": str(self.made.settings["kafka_bootstrap"]), "group.id": "tests"})
        topic = names.dead_letters(int(str(self.made.settings["generation"])))
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        offsets = [consumer.get_watermark_offsets(TopicPartition(topic, partition), 10) for partition in partitions]
        consumer.close()
        return sum(high for _, high in offsets)

    def spend(self) -> float:
        question = {"service": "support_chat", "purpose": "service", "customer_id": "ann"}
        answer = self.api.post("/v1/features", json=question)
        spend = answer.json()["features"]["spend_amount_sum_1h"] if answer.status_code == 200 else None
        return -1 if spend is None else float(spend)


@pytest.fixture
def ann(kafka: str, tmp_path: Path) -> Iterator[CustomerHarness]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    with installation(tmp_path, kafka=kafka, store=server.url, partitions=PARTITIONS) as made:
        made.prepare()
        made.start_store_verifier()
        made.start_worker()
        api = made.start_api()
        eventually(lambda: api.get("/readyz").status_code == 200, "the API is ready")
        yield CustomerHarness(made, api)
    server.stop()


@pytest.mark.timeout(300)
def test_replayed_dead_letters_count_once_even_if_replayed_twice(ann: CustomerHarness) -> None:
    ann.give_consent()
    ann.send_order(1)
    ann.send_order(20, partition=(ann.home + 1) % PARTITIONS)  # a sender with another number of partitions
    ann.send_order(400, ahead_s=MAX_CLOCK_SKEW_S + 5)  # a sender whose clock is ahead
    soon = time.time() + 5
    eventually(lambda: ann.spend() == 1, "the valid order is served")
    eventually(lambda: ann.dead_letters() == 2, "two dead letters")
    reasons = listed(ann)
    assert "misplaced" in reasons
    assert "future" in reasons

    assert "1 replayed" in ann.made.manage("deadletters", "replay", "--all", "--reason", "misplaced").stdout
    eventually(lambda: ann.spend() == 21, "replayed to its own partition it counts")
    eventually(lambda: time.time() > soon, "the other order is no longer in the future")
    assert "1 replayed" in ann.made.manage("deadletters", "replay", "--all").stdout
    eventually(lambda: ann.spend() == 421, "the replayed order counts")
    assert "No dead letter waits for a decision." in listed(ann)

    ann.made.manage("shell", "-c", REOPEN_ALL)  # a database that lost the decisions
    assert "2 replayed" in ann.made.manage("deadletters", "replay", "--all").stdout
    ann.send_order(5000)
    eventually(lambda: ann.spend() >= 5421, "a later order is served")
    assert ann.spend() == 5421, "second replays are recognised as duplicates"


def listed(ann: CustomerHarness) -> str:
    return ann.made.manage("deadletters", "list").stdout
