"""Purges on their way to the streams: a topic partitioned like the event topics, keyed by subject."""

import json
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from featurestore import names
from featurestore.config import settings
from featurestore.identity import partition_of

DELIVERY_TIMEOUT_MS = 5000


class Purge(NamedTuple):
    """Tell the streams to look at a subject's permission again, and to drop what it no longer holds."""

    subject: str
    sequence: int


class Purges(Protocol):
    """Where purges go. A double in tests."""

    def send(self, purges: Sequence[Purge]) -> dict[int, str]:
        """Send and wait for the broker's word. Returns the failures: what went wrong by sequence."""


class PurgeTopic:
    """The Kafka topic ``consent.purge.g{generation}``. A purge that was sent twice is harmless."""

    def __init__(self, bootstrap: str, generation: int, partitions: int):
        self.topic, self.partitions = names.purge(generation), partitions
        self.producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "linger.ms": 2,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
                "log_level": 2,
            }
        )

    def send(self, purges: Sequence[Purge]) -> dict[int, str]:
        failures = {purge.sequence: "the broker gave no answer" for purge in purges}

        def reported(sequence: int, error: KafkaError | None) -> None:
            if error is None:
                del failures[sequence]
            else:
                failures[sequence] = error.str()

        for purge in purges:

            def delivered(error: KafkaError | None, _message: Message, sequence: int = purge.sequence) -> None:
                reported(sequence, error)

            try:
                self.producer.produce(
                    self.topic,
                    json.dumps(purge._asdict()).encode(),
                    purge.subject.encode(),
                    partition_of(purge.subject, self.partitions),
                    on_delivery=delivered,
                )
            except (BufferError, KafkaException) as error:
                failures[purge.sequence] = str(error)
        self.producer.flush(DELIVERY_TIMEOUT_MS / 1000 + 1)
        return failures


@cache
def purges() -> Purges:
    """The process's way to the streams, as the settings name it."""
    conf = settings()
    return PurgeTopic(conf.kafka_bootstrap, conf.generation, conf.partitions)
