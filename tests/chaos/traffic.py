"""The producer: what happens in the shop, told to Kafka at a steady rate until Kafka says that it is written.

An event whose delivery is unknown is sent again under its own id, as at-least-once producers do; so are some that were
delivered. A few come late or ahead of the clock, and every hundredth record is poison.
"""

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from adminsite.demo.simulated_shop import CustomerEvent, SimulatedShop
from featurestore import names
from featurestore.definitions import EventSource
from tests.chaos import poison
from tests.chaos.customers import Customer
from tests.chaos.poison import Poison
from tests.chaos.truth import ORIGIN, Truth
from devservers.waiting import eventually

POISON_EVERY = 100
LATE_SHARE, LATE_MOST_S = 0.03, 600
AHEAD_SHARE, AHEAD_MOST_S = 0.02, 240
AGAIN_SHARE, AGAIN_OF = 0.02, 500
"""Which share of delivered events is sent once more, and among how many of the last ones."""
MOST_UNSETTLED = 64
"""Events of one customer on their way. The streams keep 256 ids of each source: older ones, sent again, count again."""
DELIVERY_TIMEOUT_MS = 20_000  # less than an outage lasts: some deliveries stay unknown


class Event(NamedTuple):
    """One event. ``first``: not a copy of one that was told to be written."""

    customer: Customer
    source: EventSource
    event_id: str
    time_ms: int
    data: msgspec.Struct
    raw: bytes
    first: bool = True


class Traffic:
    """Sends until stopped. ``settled`` when nothing is on its way."""

    def __init__(
        self, bootstrap: str, generation: int, customers: list[Customer], truth: Truth, rate: float, seed: int
    ):
        self.generation, self.customers, self.truth, self.rate = generation, customers, truth, rate
        self.by_id = {customer.customer_id: customer for customer in customers}
        self.random = random.Random(f"traffic {seed}")
        self.shop = SimulatedShop(list(self.by_id), seed)
        self.counts: Counter[str] = Counter()
        self.poisons: dict[tuple[str, int, int], Poison] = {}  # by the place that Kafka told
        self.error: BaseException | None = None
        self._unknown: deque[Event | Poison] = deque()
        self._delivered: deque[Event] = deque(maxlen=AGAIN_OF)
        self._on_their_way = 0
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
        """Tell nothing new; return when everything told is written."""
        self.rate = 0
        eventually(lambda: self.settled or not self._thread.is_alive(), "every event is written", within_s=180)
        self._stop.set()
        self._thread.join()
        if self.error:
            raise self.error

    @property
    def settled(self) -> bool:
        return not (self._on_their_way or self._unknown)

    def happens(self, customer: Customer, source: EventSource, data: msgspec.Struct, shift_s: float = 0) -> None:
        """Tell one event. From any thread."""
        with self._lock:
            self._number += 1
            event_id = f"e{self._number}"
        now = datetime.fromtimestamp(int((time.time() + shift_s) * 1000) / 1000, UTC)
        raw = source.encode(id=event_id, source=ORIGIN, subject=customer.subject, time=now, data=data)
        self._send_event(Event(customer, source, event_id, round(now.timestamp() * 1000), data, raw))

    def _run(self) -> None:
        try:
            for number, happening in enumerate(self._happenings()):
                self._pace(number)
                if self._stop.is_set():
                    return
                if number % POISON_EVERY == POISON_EVERY - 1:
                    self._poison()
                else:
                    self._tell(happening)
        except BaseException as error:  # noqa: BLE001 told by stop
            self.error = error

    def _happenings(self) -> Iterator[CustomerEvent]:
        """What happens in the shop. What customers decide there is not told: ``tests.chaos.decisions`` decides."""
        return (deed for deed in self.shop.actions() if isinstance(deed, CustomerEvent))

    def _pace(self, number: int) -> None:
        """Wait until the next record is due, and meanwhile learn what became of those before."""
        if number == 0:
            self._began = time.monotonic()
        while not self._stop.is_set():
            self._producer.poll(0)
            while self._unknown:
                self._again(self._unknown.popleft())
            rate = self.rate
            early_s = self._began + number / rate - time.monotonic() if rate else 0.02
            if early_s <= 0:
                return
            self._producer.poll(min(early_s, 0.05))

    def _tell(self, happening: CustomerEvent) -> None:
        customer = self.by_id[happening.customer_id]
        with customer.lock:
            if customer.deciding or customer.unsettled >= MOST_UNSETTLED:
                self.counts["not told: the customer is deciding, or many events are on their way"] += 1
                return
            self.happens(customer, happening.source, happening.data, self._shift_s(customer))
        if self._delivered and self.random.random() < AGAIN_SHARE:
            self._copy(self.random.choice(self._delivered))

    def _shift_s(self, customer: Customer) -> float:
        """How far an event's time is from now: as a rule not at all.

        Ids are kept by the event's time: the lively customer's late ones would soon be forgotten. Of two copies of an
        event ahead of the clock the later one may be allowed by a grant in between.
        """
        chance = self.random.random()
        if customer is self.customers[0]:
            return 0
        if chance < LATE_SHARE:
            return -self.random.uniform(1, LATE_MOST_S)
        if chance < LATE_SHARE + AHEAD_SHARE and not customer.changes_mind:
            return self.random.uniform(1, AHEAD_MOST_S)
        return 0

    def _copy(self, event: Event) -> None:
        with event.customer.lock:
            if not event.customer.deciding:
                self.counts["sent again on purpose"] += 1
                self._send_event(event._replace(first=False))

    def _poison(self) -> None:
        kind = list(poison.KINDS)[self.counts["poison"] % len(poison.KINDS)]
        self.counts["poison"] += 1
        made = poison.KINDS[kind](self.random.choice(self.customers), f"p{self.counts['poison']}", self.generation)
        self._send_poison(made)

    def _again(self, unknown: Event | Poison) -> None:
        self.counts["sent again, delivery unknown"] += 1
        if isinstance(unknown, Poison):
            self._send_poison(unknown)
        else:
            with self._lock:
                unknown.customer.unsettled -= 1  # counted anew
            self._send_event(unknown)

    def _send_event(self, event: Event) -> None:
        def told(error: KafkaError | None, message: Message) -> None:
            with self._lock:
                self._on_their_way -= 1
                if error is not None and event.first:
                    self._unknown.append(event)  # and the customer stays unsettled
                    return
                event.customer.unsettled -= 1
            if error is None and event.first:
                self._written(event, message.timestamp()[1])

        with self._lock:
            self._on_their_way += 1
            event.customer.unsettled += 1
        topic = names.events(event.source.name, self.generation)
        self._producer.produce(
            topic, event.raw, event.customer.subject.encode(), event.customer.partition, on_delivery=told
        )

    def _written(self, event: Event, kafka_ms: int) -> None:
        data: dict[str, Any] = msgspec.to_builtins(event.data)
        self.truth.add(event.source.name, event.customer.customer_id, event.event_id, event.time_ms, kafka_ms, data)
        self._delivered.append(event)

    def _send_poison(self, made: Poison) -> None:
        def told(error: KafkaError | None, message: Message) -> None:
            with self._lock:
                self._on_their_way -= 1
            if error is None:
                self.poisons[message.topic(), message.partition(), message.offset()] = made
            else:
                self._unknown.append(made)

        with self._lock:
            self._on_their_way += 1
        self._producer.produce(made.topic, made.value, made.key, made.partition, on_delivery=told)
