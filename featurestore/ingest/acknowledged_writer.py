"""Events written by a caller who waits: acknowledged by Kafka within a time, or to be sent again."""

import threading
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message

from featurestore.config import Settings, settings
from featurestore.definitions import EventSource
from featurestore.ingest.errors import NotAcknowledged
from featurestore.ingest.producer import EventProducer

AWAY = {KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}
"""What no broker said. An error of one event or topic is no reason to let the others wait."""


class EncodedEvent(NamedTuple):
    """One event, as its source encodes it."""

    source: EventSource
    subject: str
    value: bytes


class Settlement:
    """What becomes of the events of one call. Settled by the polling thread alone."""

    def __init__(self, events: int) -> None:
        self.left = events
        self.error: KafkaError | None = None
        self.over = threading.Event()

    def settle(self, error: KafkaError | None, _message: Message) -> None:
        self.left -= 1
        if error is not None:
            self.error = error
        if error is not None or not self.left:
            self.over.set()


class AcknowledgedEventWriter:
    """Writes events for any number of threads, through one producer that a thread of its own polls.

    While Kafka is away one call at a time tries; the others are told at once, so that they don't hold up what else
    their threads have to do. An event that timed out may arrive all the same.
    """

    def __init__(self, conf: Settings) -> None:
        self.timeout_s = conf.event_timeout_ms / 1000
        self._producer = EventProducer(conf, conf.event_timeout_ms)
        self._away = False
        self._trying = threading.Lock()
        threading.Thread(target=self._poll, name="event-writer", daemon=True).start()

    def write(self, events: Sequence[EncodedEvent]) -> None:
        """Return when Kafka has acknowledged all events. Raises NotAcknowledged, of some or all of them."""
        trying = self._away
        if trying and not self._trying.acquire(blocking=False):
            raise NotAcknowledged("away a moment ago, and another call is trying")
        try:
            problem = self._send(events)
            self._away = problem in AWAY
        finally:
            if trying:
                self._trying.release()
        if problem is not None:
            raise NotAcknowledged(KafkaError(problem).str())

    def _send(self, events: Sequence[EncodedEvent]) -> int | None:
        """Send events and wait; the code of what kept Kafka from acknowledging all of them, None if nothing did."""
        settlement = Settlement(len(events))
        try:
            for source, subject, value in events:
                self._producer.send(source, subject, value, settlement.settle)
        except BufferError:
            return KafkaError._QUEUE_FULL
        except KafkaException as error:
            return int(error.args[0].code())
        if not settlement.over.wait(self.timeout_s):
            return KafkaError._MSG_TIMED_OUT
        return None if settlement.error is None else int(settlement.error.code())

    def _poll(self) -> None:
        while True:
            self._producer.poll(1.0)


@cache
def acknowledged_event_writer() -> AcknowledgedEventWriter:
    """The process's writer, made when first asked for."""
    return AcknowledgedEventWriter(settings())
