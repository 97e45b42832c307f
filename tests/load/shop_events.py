"""Events of the simulated shop beside the conversations, sent to Kafka at a steady rate by a thread."""

import random
import threading
import time
from datetime import UTC, datetime

from confluent_kafka import Producer

from featurestore import names
from featurestore.catalog.simulation import SimulatedShop
from featurestore.definitions.simulation import CustomerEvent
from featurestore.identity import partition_of, subject_of
from tests.chaos.environment import PARTITIONS

POLL_S = 0.02


class ShopEvents(threading.Thread):
    """Sends orders, carts, visits and tickets of customers at a rate a second, until stopped."""

    def __init__(self, bootstrap: str, generation: int, secret: str, customer_ids: list[str], rate: float) -> None:
        super().__init__(name="shop events", daemon=True)
        self.generation, self.rate, self.sent = generation, rate, 0
        self._subjects = {name: subject_of(name, secret.encode()) for name in customer_ids}
        self._shop = SimulatedShop(random.sample(customer_ids, len(customer_ids)), random.Random(1))
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "acks": "all", "log_level": 0})
        self._stopping = threading.Event()

    def run(self) -> None:
        events = (action for action in self._shop.actions() if isinstance(action, CustomerEvent))
        began_s = time.monotonic()
        while not self._stopping.wait(POLL_S):
            self._producer.poll(0)
            while self.sent < (time.monotonic() - began_s) * self.rate:
                self._send(next(events))

    def stop(self) -> None:
        self._stopping.set()
        self.join()
        assert self._producer.flush(30) == 0, "Kafka has every event"

    def _send(self, event: CustomerEvent) -> None:
        subject = self._subjects[event.customer_id]
        now = datetime.fromtimestamp(int(time.time() * 1000) / 1000, UTC)
        self.sent += 1
        raw = event.source.encode(id=f"shop-{self.sent}", source="load", subject=subject, time=now, data=event.data)
        topic = names.events(event.source.name, self.generation)
        self._producer.produce(topic, raw, subject.encode(), partition_of(subject, PARTITIONS))
