"""Many events on their way to Kafka: no more of them than are recognised, should they have to be sent again."""

from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from confluent_kafka import KafkaError, Message

from featurestore.config import Settings
from featurestore.definitions import EventSource
from featurestore.identity import subject_of
from featurestore.ingest.producer import EventProducer
from featurestore.tiles.deduplication import KEPT

DELIVERY_TIMEOUT_MS = 30_000


class NotDelivered(Exception):
    """Kafka did not take an event in time. ``first`` is the mark of the oldest event that is not known to be there."""

    def __init__(self, reason: str, first: Any) -> None:
        super().__init__(f"Kafka did not take an event: {reason}. Is it running, with its topics?")
        self.first = first


class BulkEventSender:
    """Sends events, never with more unsettled than the streams keep identities: what is sent again is recognised."""

    def __init__(self, conf: Settings) -> None:
        self.sent = 0
        self._secret = conf.subject_secret.encode()
        self._subject_of = lru_cache(maxsize=100_000)(lambda customer_id: subject_of(customer_id, self._secret))
        self._unsettled: dict[int, Any] = {}  # number of an event: its mark, the oldest first
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
        mark: Any = None,
    ) -> None:
        """Send one event, waiting while too many are unsettled. ``origin`` is the CloudEvents source, ``mark`` the
        caller's own name for the event. Raises IdentifierError, NotDelivered.
        """
        subject = self._subject_of(customer_id)
        number, self.sent = self.sent, self.sent + 1
        self._unsettled[number] = mark
        value = source.encode(id=id, source=origin, subject=subject, time=time, data=data)
        self._producer.send(source, subject, value, lambda error, message: self._settle(number, error, message))
        self._wait_below(KEPT)

    def flush(self) -> None:
        """Wait until every event is settled. Raises NotDelivered."""
        self._wait_below(1)

    def _wait_below(self, limit: int) -> None:
        self._producer.poll(0)
        while len(self._unsettled) >= limit and self._failure is None:
            self._producer.poll(0.1)
        if self._failure is not None:
            raise NotDelivered(self._failure.str(), next(iter(self._unsettled.values()), None))

    def _settle(self, number: int, error: KafkaError | None, message: Message) -> None:
        if error is None:
            del self._unsettled[number]
        elif self._failure is None:
            self._failure = error
