"""Purges and their Kafka producer. Their topic is keyed by subject and partitioned like the event topics."""

import json
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from featurestore import names
from featurestore.config import settings
from featurestore.identity import partition_of
from featurestore.servers.kafka import KafkaCluster, kafka_cluster

DELIVERY_TIMEOUT_MS = 5000


class Purge(NamedTuple):
    """Message that makes the streams read a subject's permission again and drop the values that it no longer allows."""

    subject: str
    sequence: int


class PurgeProducer(Protocol):
    """Producer of purges. Tests have one of their own."""

    def send(self, purges: Sequence[Purge]) -> dict[Purge, str]:
        """Send purges and wait for the broker's acknowledgements. Returns the failures with their errors."""


class KafkaPurgeProducer:
    """Producer of the topic ``consent.purge.g{generation}``. A purge that is sent twice is harmless."""

    def __init__(self, kafka: KafkaCluster, generation: int, partitions: int):
        self.topic, self.partitions = names.purge(generation), partitions
        self.producer = Producer(
            {
                **kafka.librdkafka(),
                "acks": "all",
                "linger.ms": 2,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
                "log_level": 2,
            }
        )

    def send(self, purges: Sequence[Purge]) -> dict[Purge, str]:
        failures = dict.fromkeys(purges, "the broker did not acknowledge it")

        def reported(purge: Purge, error: KafkaError | None) -> None:
            if error is None:
                del failures[purge]
            else:
                failures[purge] = error.str()

        for purge in list(failures):  # each once

            def delivered(error: KafkaError | None, _message: Message, purge: Purge = purge) -> None:
                reported(purge, error)

            try:
                self.producer.produce(
                    self.topic,
                    json.dumps(purge._asdict()).encode(),
                    purge.subject.encode(),
                    partition_of(purge.subject, self.partitions),
                    on_delivery=delivered,
                )
            except (BufferError, KafkaException) as error:
                failures[purge] = str(error)
        self.producer.flush(DELIVERY_TIMEOUT_MS / 1000 + 1)
        return failures


@cache
def purge_producer() -> PurgeProducer:
    """The process's producer of purges, made once from the settings."""
    conf = settings()
    return KafkaPurgeProducer(kafka_cluster(conf), conf.generation, conf.partitions)
