"""Traffic of events: the simulated shop's events are sent to Kafka at a steady rate until Kafka acknowledges them.

An event whose delivery is unknown is sent again with the same id, as at-least-once producers do; so are some that were
delivered. A few have a time in the past or ahead, and every hundredth record is a poison record.
"""

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from devservers.waiting import eventually
from featurestore import names
from featurestore.catalog.simulation import SimulatedShop
from featurestore.definitions import EventSource
from featurestore.definitions.simulation import CustomerEvent
from tests.chaos import poison_records
from tests.chaos.customers import Customer
from tests.chaos.poison_records import PoisonRecord
from tests.chaos.written_events import ORIGIN, WrittenEvents

POISON_EVERY = 100
LATE_SHARE, LATE_MOST_S = 0.03, 600
AHEAD_SHARE, AHEAD_MOST_S = 0.02, 240
REPEATED_SHARE, REPEATED_OF = 0.02, 500
"""Share of delivered events that is sent again, and the number of latest ones they are chosen from."""
MAX_IN_FLIGHT = 64
"""Events of one customer. The deduplication window holds 256 ids a source: an older event sent again counts twice."""
DELIVERY_TIMEOUT_MS = 20_000  # shorter than an outage, so that some deliveries stay unknown


class Event(NamedTuple):
    """One event. ``first`` is False for a copy of an acknowledged event."""

    customer: Customer
    source: EventSource
    event_id: str
    time_ms: int
    data: msgspec.Struct
    raw: bytes
    first: bool = True


class EventTraffic:
    """Sends events until stopped. ``idle``: none is in flight."""

    def __init__(
        self, bootstrap: str, generation: int, customers: list[Customer], written: WrittenEvents, rate: float, seed: int
    ):
        self.generation, self.customers, self.written, self.rate = generation, customers, written, rate
        self.by_id = {customer.customer_id: customer for customer in customers}
        self.random = random.Random(f"traffic {seed}")
        self.shop = SimulatedShop(list(self.by_id), random.Random(seed))
        self.counts: Counter[str] = Counter()
        self.poison_records: dict[tuple[str, int, int], PoisonRecord] = {}  # by topic, partition, offset
        self.error: BaseException | None = None
        self._unknown: deque[Event | PoisonRecord] = deque()
        self._delivered: deque[Event] = deque(maxlen=REPEATED_OF)
        self._in_flight = 0
        self._number = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 2,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
                "log_level": 0,
            }
        )
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send no new events; return when every event is acknowledged."""
        with self.paused():
            self._stop.set()
            self._thread.join()
        if self.error:
            raise self.error

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Send no event until the block ends; those in flight are acknowledged before it begins."""
        rate, self.rate = self.rate, 0
        eventually(lambda: self.idle or not self._thread.is_alive(), "every event is written", within_s=180)
        yield
        self.rate = rate

    def start_generation(self, generation: int) -> None:
        """Send to topics of a new generation from now on. Only while paused.

        An event of an earlier generation that was sent again would count as a new one.
        """
        self.generation = generation
        self._delivered.clear()

    @property
    def idle(self) -> bool:
        return not (self._in_flight or self._unknown)

    def send(self, customer: Customer, source: EventSource, data: msgspec.Struct, shift_s: float = 0) -> None:
        """Send one event. From any thread."""
        with self._lock:
            self._number += 1
            event_id = f"e{self._number}"
        now = datetime.fromtimestamp(int((time.time() + shift_s) * 1000) / 1000, UTC)
        raw = source.encode(id=event_id, source=ORIGIN, subject=customer.subject, time=now, data=data)
        self._send_event(Event(customer, source, event_id, round(now.timestamp() * 1000), data, raw))

    def _run(self) -> None:
        try:
            for number, event in enumerate(self._shop_events()):
                self._pace(number)
                if self._stop.is_set():
                    return
                if number % POISON_EVERY == POISON_EVERY - 1:
                    self._send_next_poison_record()
                else:
                    self._send_shop_event(event)
        except BaseException as error:  # noqa: BLE001 raised by stop
            self.error = error

    def _shop_events(self) -> Iterator[CustomerEvent]:
        """Events of the simulated shop without its decisions, which ``tests.chaos.consent_traffic`` makes instead."""
        return (action for action in self.shop.actions() if isinstance(action, CustomerEvent))

    def _pace(self, number: int) -> None:
        """Wait until the next record is due, and handle delivery reports meanwhile."""
        if number == 0:
            self._began_at = time.monotonic()
        while not self._stop.is_set():
            self._producer.poll(0)
            while self._unknown:
                self._send_again(self._unknown.popleft())
            rate = self.rate
            early_s = self._began_at + number / rate - time.monotonic() if rate else 0.02
            if early_s <= 0:
                return
            self._producer.poll(min(early_s, 0.05))

    def _send_shop_event(self, event: CustomerEvent) -> None:
        customer = self.by_id[event.customer_id]
        with customer.lock:
            if customer.deciding or customer.in_flight >= MAX_IN_FLIGHT:
                self.counts["not sent: the customer is deciding, or has too many events in flight"] += 1
                return
            self.send(customer, event.source, event.data, self._shift_s(customer))
        if self._delivered and self.random.random() < REPEATED_SHARE:
            self._copy(self.random.choice(self._delivered))

    def _shift_s(self, customer: Customer) -> float:
        """Difference of an event's time from now, mostly 0.

        The deduplication window is ordered by event time: late events of the most active customer would soon leave it.
        Of two copies of an event ahead of the clock, the later may be allowed by a grant in between.
        """
        chance = self.random.random()
        if customer is self.customers[0]:
            return 0
        if chance < LATE_SHARE:
            return -self.random.uniform(1, LATE_MOST_S)
        if chance < LATE_SHARE + AHEAD_SHARE and not customer.changes_consent:
            return self.random.uniform(1, AHEAD_MOST_S)
        return 0

    def _copy(self, event: Event) -> None:
        with event.customer.lock:
            if not event.customer.deciding:
                self.counts["sent again on purpose"] += 1
                self._send_event(event._replace(first=False))

    def _send_next_poison_record(self) -> None:
        kind = list(poison_records.KINDS)[self.counts["poison"] % len(poison_records.KINDS)]
        self.counts["poison"] += 1
        record = poison_records.KINDS[kind](
            self.random.choice(self.customers), f"p{self.counts['poison']}", self.generation
        )
        self._send_poison_record(record)

    def _send_again(self, unknown: Event | PoisonRecord) -> None:
        self.counts["sent again, delivery unknown"] += 1
        if isinstance(unknown, PoisonRecord):
            self._send_poison_record(unknown)
        else:
            with self._lock:
                unknown.customer.in_flight -= 1  # counted again by _send_event
            self._send_event(unknown)

    def _send_event(self, event: Event) -> None:
        def report(error: KafkaError | None, message: Message) -> None:
            with self._lock:
                self._in_flight -= 1
                if error is not None and event.first:
                    self._unknown.append(event)  # it stays in flight for the customer
                    return
                event.customer.in_flight -= 1
            if error is None and event.first:
                self._add_written(event, message.timestamp()[1])

        with self._lock:
            self._in_flight += 1
            event.customer.in_flight += 1
        topic = names.events(event.source.name, self.generation)
        self._producer.produce(
            topic, event.raw, event.customer.subject.encode(), event.customer.partition, on_delivery=report
        )

    def _add_written(self, event: Event, kafka_ms: int) -> None:
        data: dict[str, Any] = msgspec.to_builtins(event.data)
        self.written.add(event.source.name, event.customer.customer_id, event.event_id, event.time_ms, kafka_ms, data)
        self._delivered.append(event)

    def _send_poison_record(self, record: PoisonRecord) -> None:
        def report(error: KafkaError | None, message: Message) -> None:
            with self._lock:
                self._in_flight -= 1
            if error is None:
                self.poison_records[message.topic(), message.partition(), message.offset()] = record
            else:
                self._unknown.append(record)

        with self._lock:
            self._in_flight += 1
        self._producer.produce(record.topic, record.value, record.key, record.partition, on_delivery=report)
