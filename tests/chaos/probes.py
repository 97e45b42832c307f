"""Probes that measure the time from a disturbance until fresh values are served again.

A partition is served again when an event of its probe customer, sent after the disturbance, is in the value that the
API serves. ``first_s`` is the time of the first affected partition, ``all_s`` of the last. After a fault of a process
that sends purges, the time ends when the purge of a later withdrawal is in Kafka.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import httpx
from confluent_kafka import Consumer, TopicPartition

from devservers.waiting import eventually
from featurestore import names
from featurestore.catalog.chat import Message, chat
from tests.chaos.consent_traffic import ConsentTraffic
from tests.chaos.customers import SERVICES, Customer, is_served, read, results_of
from tests.chaos.environment import PARTITIONS, ChaosEnvironment
from tests.chaos.event_traffic import EventTraffic

FEATURE, VIEW = "customer_messages_1d", "dialogue"
WITHIN_S = 120
EVERY_S, OF_ELAPSED = 0.05, 0.04
"""Pause between two looks, at least, and as a share of the time that they take by then."""
PROBE_MESSAGE = Message(author="customer", conversation_id="probe")


class RecoveryTimes(NamedTuple):
    """Seconds from a disturbance until the first and the last affected partition is served again."""

    first_s: float
    all_s: float


NOTHING = RecoveryTimes(0, 0)


def poll(happens: Callable[[], bool], what: Callable[[], str]) -> None:
    """Wait until something happens. Raises AssertionError, saying what did not, after WITHIN_S."""
    began_at = time.monotonic()
    while not happens():
        elapsed_s = time.monotonic() - began_at
        assert elapsed_s < WITHIN_S, f"not within {WITHIN_S} s: {what()}"
        time.sleep(max(EVERY_S, OF_ELAPSED * elapsed_s))


class ReadProbe:
    """One probe customer a partition, whose messages are counted by a feature."""

    def __init__(self, env: ChaosEnvironment, traffic: EventTraffic, customers: list[Customer]) -> None:
        self.traffic, self.customers = traffic, customers
        self._client = env.client(timeout_s=2)
        self._sent = [0] * PARTITIONS

    def start_generation(self, _generation: int) -> None:
        """Count messages from now on."""
        self._sent = [0] * PARTITIONS

    def measure(self, began_at: float, partitions: Iterable[int]) -> RecoveryTimes:
        """Send a message on each partition, and wait until all are in served values."""
        waiting = set(partitions)
        if not waiting:
            return NOTHING
        for partition in waiting:
            self.traffic.send(self.customers[partition], chat, PROBE_MESSAGE)
            self._sent[partition] += 1
        times_s: list[float] = []

        def all_served() -> bool:
            found = self._served_partitions(waiting)
            times_s.extend(time.monotonic() - began_at for _ in found)
            waiting.difference_update(found)
            return not waiting

        poll(all_served, lambda: f"served again on partitions {sorted(waiting)}")
        return RecoveryTimes(times_s[0], times_s[-1])

    def _served_partitions(self, partitions: Iterable[int]) -> set[int]:
        """The partitions whose last message is in a present value."""
        numbers = sorted(partitions)
        try:
            answer = read(self._client, "service", [self.customers[p] for p in numbers], features=[FEATURE])
        except httpx.TransportError:
            return set()
        if answer.status_code != 200:
            return set()
        return {
            partition
            for partition, result in zip(numbers, results_of(answer), strict=True)
            if result["views"][VIEW]["status"] == "present" and result["features"][FEATURE] == self._sent[partition]
        }


class CustomersProbe:
    """Customers who are read until all that they allow is served again."""

    def __init__(self, env: ChaosEnvironment) -> None:
        self._client = env.client(timeout_s=2)

    def measure(self, began_at: float, customers: Sequence[Customer]) -> RecoveryTimes:
        """Wait until every purpose that each customer allows is served."""
        waiting = {purpose: [one for one in customers if one.may_be_read(purpose)] for purpose in SERVICES}
        times_s: list[float] = []

        def all_served() -> bool:
            for purpose, left in waiting.items():
                served = self._served(purpose, left) if left else set()
                times_s.extend(time.monotonic() - began_at for _ in served)
                waiting[purpose] = [customer for customer in left if customer.subject not in served]
            return not any(waiting.values())

        poll(all_served, lambda: f"{len(customers)} customers are served again")
        return RecoveryTimes(times_s[0], times_s[-1]) if times_s else NOTHING

    def _served(self, purpose: str, customers: Sequence[Customer]) -> set[str]:
        try:
            answer = read(self._client, purpose, customers)
        except httpx.TransportError:
            return set()
        results = results_of(answer) if answer.status_code == 200 else []
        return {one.subject for one, answered in zip(customers, results, strict=False) if is_served(answered)}


class PurgeProbe:
    """A probe customer whose withdrawals are looked for in the topic of purges."""

    def __init__(self, env: ChaosEnvironment, consent_traffic: ConsentTraffic, customer: Customer) -> None:
        self.consent_traffic, self.customer = consent_traffic, customer
        self._client = env.client()
        self.purges = 0
        self._consumer = Consumer(
            {
                "bootstrap.servers": str(env.installation.settings["kafka_bootstrap"]),
                "group.id": "chaos-purges",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )
        self._generation = 0
        self.start_generation(env.generation)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="purges", daemon=True)
        self._thread.start()

    def start_generation(self, generation: int) -> None:
        """Look for purges in the topic of a new generation from now on."""
        self._generation = generation

    def measure(self, began_at: float) -> RecoveryTimes:
        """Withdraw and wait for the purge; then consent again, for the next measurement."""
        before = self.purges
        self._decide("withdrawn")
        eventually(lambda: self.purges > before, "a purge is in Kafka", WITHIN_S, EVERY_S)
        took_s = time.monotonic() - began_at
        self._decide("given")
        return RecoveryTimes(took_s, took_s)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _decide(self, decision: str) -> None:
        self.consent_traffic.decide_and_record(self._client, self.customer, "service", decision)

    def _read(self) -> None:
        assigned = 0
        while not self._stop.is_set():
            if assigned != self._generation:
                assigned = self._generation
                self._consumer.assign([TopicPartition(names.purge(assigned), self.customer.partition, 0)])
            for message in self._consumer.consume(100, timeout=0.1):
                if not message.error() and message.key() == self.customer.subject.encode():
                    self.purges += 1
