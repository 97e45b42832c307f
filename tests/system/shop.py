"""Shop against an installation: customers consent and buy, and a chat engine reads their features."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import Producer

from devservers.installation import Installation, installation
from devservers.waiting import eventually
from featurestore import names
from featurestore.catalog.orders import OrderLine, orders
from featurestore.identity import partition_of, subject_of

PARTITIONS = 4
numbers = itertools.count()


class Shop:
    """Customers' decisions by the API, their orders by Kafka, and reads of their features."""

    def __init__(self, made: Installation) -> None:
        self.made, self.api = made, made.start_api()
        self.producer = Producer({**made.kafka_options(), "log_level": 0})

    def subject(self, customer: str) -> str:
        return subject_of(customer, str(self.made.settings["subject_secret"]).encode())

    def neighbours(self, customer: str, count: int) -> list[str]:
        """Customers of the same partition: when a later event of theirs is served, earlier ones are processed."""
        home = partition_of(self.subject(customer), PARTITIONS)
        found = (f"{customer}-{i}" for i in itertools.count())
        return list(itertools.islice((c for c in found if partition_of(self.subject(c), PARTITIONS) == home), count))

    def decide(self, customer: str, decision: str) -> httpx.Response:
        body = {"customer_id": customer, "purpose": "service", "decision": decision, "method": "chat"}
        return self.api.post("/v1/consents", json=body | ({"notice": "privacy/1/en"} if decision == "given" else {}))

    def give_consent(self, *customers: str) -> None:
        """Register customers, record their consent, and wait until it is in effect."""
        for customer in customers:
            self.api.post("/v1/customers", json={"customer_id": customer, "region": "EU", "brand": "lamp"})
            answer = self.decide(customer, "given")
            assert answer.status_code == 201, answer.text
        since_s = datetime.fromisoformat(answer.json()["since"]).timestamp()
        eventually(lambda: time.time() > since_s, "the consent is in effect")

    def buy(self, customer: str, amount: str = "10.00") -> None:
        line = OrderLine(kind="completed", order_id="O", sku="LAMP", quantity=1, amount=Decimal(amount))
        subject = self.subject(customer)
        raw = orders.encode(id=str(next(numbers)), source="test", subject=subject, time=datetime.now(UTC), data=line)
        self.send(customer, raw)

    def send(self, customer: str, raw: bytes) -> None:
        """Write a record of a customer to the topic of orders."""
        subject, topic = self.subject(customer), names.events("orders", int(str(self.made.settings["generation"])))
        self.producer.produce(topic, raw, key=subject.encode(), partition=partition_of(subject, PARTITIONS))
        self.producer.flush()

    def read(self, customer: str) -> httpx.Response:
        body = {"service": "support_chat", "purpose": "service", "customer_id": customer}
        return self.api.post("/v1/features", json=body)

    def spend(self, customer: str) -> tuple[str, float | None]:
        """Status and sum of a customer's spending; ("unavailable", None) while the store is unavailable."""
        answer = self.read(customer)
        if answer.status_code == 503:
            return "unavailable", None
        found: dict[str, Any] = answer.json()
        return found["views"]["spend"]["status"], found["features"]["spend_amount_sum_1h"]


@contextmanager
def open_shop(folder: Path, *, kafka: str, store: str, **settings: object) -> Iterator[Shop]:
    """A shop whose API, store verifier and streams worker run until the block ends."""
    with installation(folder, kafka=kafka, store=store, partitions=PARTITIONS, **settings) as made:
        made.prepare()
        made.start_store_verifier()
        made.start_worker()
        shop = Shop(made)
        eventually(lambda: shop.api.get("/readyz").status_code == 200, "the API is ready")
        yield shop
