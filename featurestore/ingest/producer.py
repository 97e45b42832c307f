"""The one way in which events go to Kafka: keyed by subject, on its partition, acknowledged by all in sync."""

from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from featurestore import names
from featurestore.config import Settings
from featurestore.definitions import EventSource
from featurestore.identity import partition_of

Settle = Callable[[KafkaError | None, Message], Any]


class EventProducer:
    """A Kafka producer of events. Threads may share it; ``poll`` is what calls back."""

    def __init__(self, conf: Settings, delivery_timeout_ms: int) -> None:
        self.partitions, self.generation = conf.partitions, conf.generation
        self._producer = Producer(
            {
                "bootstrap.servers": conf.kafka_bootstrap,
                "acks": "all",
                # The fold recognises what comes twice, in any order: an id from Kafka would cost the first write 0.5 s.
                "enable.idempotence": False,
                "linger.ms": 2,
                "delivery.timeout.ms": delivery_timeout_ms,
                "reconnect.backoff.max.ms": 1_000,
                "log_level": 0,
            }
        )

    def send(self, source: EventSource, subject: str, value: bytes, settle: Settle) -> None:
        """Send an event of a source, in bytes as ``source.encode`` makes them. Raises BufferError, KafkaException."""
        topic, partition = names.events(source.name, self.generation), partition_of(subject, self.partitions)
        self._producer.produce(topic, key=subject, value=value, partition=partition, on_delivery=settle)

    def poll(self, timeout_s: float) -> None:
        """Call back for what is settled, waiting for it no longer than told."""
        self._producer.poll(timeout_s)
