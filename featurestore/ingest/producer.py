"""The one Kafka producer of events: keyed by subject, on its partition, acknowledged by all in-sync replicas."""

from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from featurestore import names
from featurestore.config import Settings
from featurestore.definitions import EventSource
from featurestore.identity import partition_of
from featurestore.servers.kafka import kafka_cluster

DeliveryCallback = Callable[[KafkaError | None, Message], Any]


class EventProducer:
    """A Kafka producer of events. Threads may share it; ``poll`` calls their callbacks."""

    def __init__(self, conf: Settings, delivery_timeout_ms: int) -> None:
        self.partitions, self.generation = conf.partitions, conf.generation
        self._producer = Producer(
            {
                **kafka_cluster(conf).librdkafka(),
                "acks": "all",
                # The fold recognises duplicates in any order; a producer id from Kafka costs the first write 0.5 s.
                "enable.idempotence": False,
                "linger.ms": 2,
                "delivery.timeout.ms": delivery_timeout_ms,
                "reconnect.backoff.max.ms": 1_000,
                "log_level": 0,
            }
        )

    def send(self, source: EventSource, subject: str, value: bytes, on_delivery: DeliveryCallback) -> None:
        """Send an event of a source, encoded by ``source.encode``. Raises BufferError, KafkaException."""
        topic, partition = names.events(source.name, self.generation), partition_of(subject, self.partitions)
        self._producer.produce(topic, key=subject, value=value, partition=partition, on_delivery=on_delivery)

    def poll(self, timeout_s: float) -> None:
        """Call the callbacks of delivered and failed events; wait for the first one up to ``timeout_s``."""
        self._producer.poll(timeout_s)
