"""Writer of events whose caller waits for Kafka's acknowledgement, within a time limit."""

import threading
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message

from featurestore.config import Settings, settings
from featurestore.definitions import EventSource
from featurestore.ingest.errors import NotAcknowledged
from featurestore.ingest.producer import EventProducer

NO_ANSWER = {KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}
"""Errors without any broker's answer. An error of one event or topic does not make other callers wait."""


class EncodedEvent(NamedTuple):
    """One event in the bytes of its source."""

    source: EventSource
    subject: str
    value: bytes


class PendingDelivery:
    """The events of one call that Kafka has not acknowledged. Only the polling thread changes it."""

    def __init__(self, events: int) -> None:
        self.left = events
        self.error: KafkaError | None = None
        self.finished = threading.Event()

    def report(self, error: KafkaError | None, _message: Message) -> None:
        self.left -= 1
        if error is not None:
            self.error = error
        if error is not None or not self.left:
            self.finished.set()


class AcknowledgedEventWriter:
    """Writes events for any number of threads, through one producer that its own thread polls.

    While Kafka is unavailable one call at a time tries, and the others fail at once, so that their threads are free for
    other requests. An event that timed out may still be written.
    """

    def __init__(self, conf: Settings) -> None:
        self.timeout_s = conf.event_timeout_ms / 1000
        self._producer = EventProducer(conf, conf.event_timeout_ms)
        self._unavailable = False
        self._trying = threading.Lock()
        threading.Thread(target=self._poll, name="event-writer", daemon=True).start()

    def write(self, events: Sequence[EncodedEvent]) -> None:
        """Return when Kafka has acknowledged all events. Raises NotAcknowledged if some or all are not."""
        trying = self._unavailable
        if trying and not self._trying.acquire(blocking=False):
            raise NotAcknowledged("Kafka did not answer a moment ago, and another call is trying")
        try:
            problem = self._send(events)
            self._unavailable = problem in NO_ANSWER
        finally:
            if trying:
                self._trying.release()
        if problem is not None:
            raise NotAcknowledged(KafkaError(problem).str())

    def _send(self, events: Sequence[EncodedEvent]) -> int | None:
        """Send events and wait; the Kafka error code if not all are acknowledged, None if all are."""
        delivery = PendingDelivery(len(events))
        try:
            for source, subject, value in events:
                self._producer.send(source, subject, value, delivery.report)
        except BufferError:
            return KafkaError._QUEUE_FULL
        except KafkaException as error:
            return int(error.args[0].code())
        if not delivery.finished.wait(self.timeout_s):
            return KafkaError._MSG_TIMED_OUT
        return None if delivery.error is None else int(delivery.error.code())

    def _poll(self) -> None:
        while True:
            self._producer.poll(1.0)


@cache
def acknowledged_event_writer() -> AcknowledgedEventWriter:
    """The process's writer, made by the first call."""
    return AcknowledgedEventWriter(settings())
