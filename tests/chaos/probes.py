"""When the world serves again: what a fault's clock measures.

The clock runs from the blow until *served again*: a fresh event of a probe customer, sent after the blow, is readable
through the API with its new value, on every affected partition. ``first_s`` is the first of them, ``all_s`` the last.
A fault of what carries out purges runs until the purge of a withdrawal made after the blow is in Kafka.
"""

import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

import httpx
from confluent_kafka import Consumer, TopicPartition

from featurestore import names
from featurestore.catalog.chat import Message, chat
from tests.chaos.customers import Customer, read
from tests.chaos.decisions import Decisions
from tests.chaos.traffic import Traffic
from tests.chaos.world import PARTITIONS, World
from devservers.waiting import eventually

FEATURE, VIEW = "customer_messages_1d", "dialogue"
WITHIN_S = 120
EVERY_S = 0.03
GREETING = Message(author="customer", conversation_id="probe")


class Served(NamedTuple):
    """Seconds from a blow until the first and the last affected partition was served again."""

    first_s: float
    all_s: float


class Probes:
    """One customer a partition, who greets when asked to; their greetings are counted."""

    def __init__(self, world: World, traffic: Traffic, customers: list[Customer]) -> None:
        self.traffic, self.customers = traffic, customers
        self._client = world.client(timeout_s=2)
        self._greeted = [0] * PARTITIONS

    def served(self, struck_at: float, partitions: Iterable[int]) -> Served:
        """Greet on the partitions, and wait until every greeting is served."""
        waiting = set(partitions)
        for partition in waiting:
            self.traffic.happens(self.customers[partition], chat, GREETING)
            self._greeted[partition] += 1
        seen: list[float] = []

        def all_seen() -> bool:
            found = self._answered(waiting)
            seen.extend(time.monotonic() - struck_at for _ in found)
            waiting.difference_update(found)
            return not waiting

        eventually(all_seen, f"served again on partitions {sorted(waiting)}", WITHIN_S, EVERY_S)
        return Served(seen[0], seen[-1])

    def _answered(self, partitions: Iterable[int]) -> set[int]:
        """Those whose last greeting is counted in a fresh answer."""
        asked = sorted(partitions)
        try:
            answer = read(self._client, "service", [self.customers[p] for p in asked], features=[FEATURE])
        except httpx.TransportError:
            return set()
        if answer.status_code != 200:
            return set()
        return {
            partition
            for partition, result in zip(asked, answer.json()["results"], strict=True)
            if result["views"][VIEW]["status"] == "present" and result["features"][FEATURE] == self._greeted[partition]
        }


class PurgeProbe:
    """A customer who withdraws when asked to, and a reader of the topic of purges."""

    def __init__(self, world: World, decisions: Decisions, customer: Customer) -> None:
        self.decisions, self.customer = decisions, customer
        self._client = world.client()
        self.purges = 0
        topic = names.purge(int(str(world.made.settings["generation"])))
        self._consumer = Consumer(
            {
                "bootstrap.servers": str(world.made.settings["kafka_bootstrap"]),
                "group.id": "chaos-purges",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )
        self._consumer.assign([TopicPartition(topic, customer.partition, 0)])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="purges", daemon=True)
        self._thread.start()

    def served(self, struck_at: float) -> Served:
        """Withdraw and wait for the purge; then consent again, for the next time."""
        before = self.purges
        self._decide("withdrawn")
        eventually(lambda: self.purges > before, "a purge is in Kafka", WITHIN_S, EVERY_S)
        took_s = time.monotonic() - struck_at
        self._decide("given")
        return Served(took_s, took_s)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _decide(self, decision: str) -> None:
        if decision == "given":
            self.customer.allow_reads("service")
        answer = self.decisions.acknowledged(self._client, self.customer, "service", decision)
        self.customer.note("service", decision, answer)

    def _read(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(100, timeout=0.1):
                if not message.error() and message.key() == self.customer.subject.encode():
                    self.purges += 1
