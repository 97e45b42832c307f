"""Sender of many events that can resume after a failure without counting an event twice."""

from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from confluent_kafka import KafkaError, Message

from featurestore.config import Settings
from featurestore.definitions import EventSource
from featurestore.identity import subject_of
from featurestore.ingest.producer import EventProducer
from featurestore.tiles.deduplication import DEDUPLICATION_EVENTS

DELIVERY_TIMEOUT_MS = 30_000


class NotDelivered(Exception):
    """Kafka did not acknowledge an event in time. ``first`` is the reference of the oldest unacknowledged event."""

    def __init__(self, reason: str, first: Any) -> None:
        super().__init__(f"Kafka did not acknowledge an event: {reason}. Is it running, with its topics?")
        self.first = first


class BulkEventSender:
    """Sends events, never with more in flight than the deduplication window holds: events sent again count once."""

    def __init__(self, conf: Settings) -> None:
        self.sent = 0
        self._secret = conf.subject_secret.encode()
        self._subject_of = lru_cache(maxsize=100_000)(lambda customer_id: subject_of(customer_id, self._secret))
        self._in_flight: dict[int, Any] = {}  # number of an event: its reference, the oldest first
        self._failure: KafkaError | None = None
        self._producer = EventProducer(conf, DELIVERY_TIMEOUT_MS)

    def send(
        self,
        source: EventSource,
        customer_id: str,
        *,
        id: str,
        origin: str,
        time: datetime,
        data: msgspec.Struct,
        reference: Any = None,
    ) -> None:
        """Send one event, waiting while too many are in flight. ``origin`` is the CloudEvents source, ``reference`` the
        caller's own name of the event, from which to resume. Raises IdentifierError, NotDelivered.
        """
        subject = self._subject_of(customer_id)
        number, self.sent = self.sent, self.sent + 1
        self._in_flight[number] = reference
        value = source.encode(id=id, source=origin, subject=subject, time=time, data=data)
        self._producer.send(source, subject, value, lambda error, message: self._delivered(number, error, message))
        self._wait_below(DEDUPLICATION_EVENTS)

    def flush(self) -> None:
        """Wait until every event is acknowledged. Raises NotDelivered."""
        self._wait_below(1)

    def _wait_below(self, limit: int) -> None:
        self._producer.poll(0)
        while len(self._in_flight) >= limit and self._failure is None:
            self._producer.poll(0.1)
        if self._failure is not None:
            raise NotDelivered(self._failure.str(), next(iter(self._in_flight.values()), None))

    def _delivered(self, number: int, error: KafkaError | None, message: Message) -> None:
        if error is None:
            del self._in_flight[number]
        elif self._failure is None:
            self._failure = error
