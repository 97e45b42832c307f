"""Topic of passed-by subjects in Kafka: read from an offset to its end, and entries removed, with time limits.

It is compacted, has one partition and belongs to no generation. An entry is removed by its key's tombstone.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from typing import NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from featurestore.config import settings
from featurestore.passed_by import PARTITION, VALUE
from featurestore.servers.kafka import KafkaCluster, kafka_cluster
from featurestore.topic_ids import topic_ids

TIMEOUT_S = 3.0
WAIT_S = 0.25
DELIVERY_TIMEOUT_MS = 5000
MISSING = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC)
NO_ANSWER_YET = (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)


class TopicUnreadable(Exception):
    """The topic can't be read now; the message states why and what to do."""


class TopicRecord(NamedTuple):
    """A record at its offset, with the time at which a broker appended it. ``removed``: it is a tombstone."""

    offset: int
    at_ms: int
    key: bytes
    removed: bool


GoesOn = Callable[[], bool]
"""Asked about twice a second while a call waits or reads. Where it says no, the call ends with TopicUnreadable."""


def always() -> bool:
    return True


class PassedByTopic(Protocol):
    """The topic of passed-by subjects. Tests have one in memory. Several threads may use it."""

    name: str

    def topic_id(self) -> str:
        """The id of the topic; "" on brokers that have none. Raises TopicUnreadable."""

    def bounds(self, goes_on: GoesOn = always) -> range:
        """The offsets that the topic has now. Raises TopicUnreadable."""

    def read(self, offsets: range, goes_on: GoesOn = always) -> Iterator[TopicRecord]:
        """The records of these offsets that are still there, in order. Raises TopicUnreadable."""

    def write(self, keys: Collection[bytes]) -> None:
        """Write entries. Raises TopicUnreadable if the broker does not acknowledge them."""

    def remove(self, keys: Collection[bytes]) -> None:
        """Write the tombstones of entries. Raises TopicUnreadable if the broker does not acknowledge them."""


class KafkaPassedByTopic:
    """The topic in Kafka. ``has_ids``: whether the brokers can be asked for the ids of topics."""

    def __init__(self, kafka: KafkaCluster, name: str, *, has_ids: bool = True):
        self.kafka, self.name, self.has_ids = kafka, name, has_ids

    @cached_property
    def _admin(self) -> AdminClient:
        return AdminClient({**self.kafka.librdkafka(), "log_level": 0})

    @cached_property
    def _producer(self) -> Producer:
        return Producer(
            {
                **self.kafka.librdkafka(),
                "acks": "all",
                "linger.ms": 2,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
                "log_level": 0,
            }
        )

    @contextmanager
    def _consumer(self) -> Iterator[Consumer]:
        consumer = Consumer(
            {
                **self.kafka.librdkafka(),
                "group.id": "rapport.passed-by",  # required, but never joined: the partition is assigned here
                "enable.auto.commit": False,
                "enable.partition.eof": True,  # compaction may have removed the last records
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )
        try:
            yield consumer
        except KafkaException as error:
            raise self._unavailable(error.args[0]) from None
        finally:
            consumer.close()

    def _check(self, goes_on: GoesOn) -> None:
        if not goes_on():
            raise TopicUnreadable(f"{self.name} was not read to its end: the process stops, or may not vouch any more")

    def topic_id(self) -> str:
        if not self.has_ids:
            return ""
        try:
            return topic_ids(self._admin, [self.name], TIMEOUT_S).get(self.name, "")
        except KafkaException as error:
            raise self._unavailable(error.args[0]) from None
        except TimeoutError:
            raise TopicUnreadable(f"Kafka at {self.kafka} did not describe {self.name} in {TIMEOUT_S} s") from None

    def bounds(self, goes_on: GoesOn = always) -> range:
        until_s = time.monotonic() + TIMEOUT_S
        with self._consumer() as consumer:
            while True:
                try:
                    return range(*consumer.get_watermark_offsets(TopicPartition(self.name, PARTITION), timeout=WAIT_S))
                except KafkaException as error:
                    if error.args[0].code() not in NO_ANSWER_YET or time.monotonic() > until_s:
                        raise
                self._check(goes_on)

    def read(self, offsets: range, goes_on: GoesOn = always) -> Iterator[TopicRecord]:
        if not offsets:
            return
        with self._consumer() as consumer:
            consumer.assign([TopicPartition(self.name, PARTITION, offsets.start)])
            asked_s = received_s = time.monotonic()
            while True:
                message, now_s = consumer.poll(WAIT_S), time.monotonic()
                if now_s >= asked_s + WAIT_S:
                    self._check(goes_on)
                    asked_s = now_s
                if message is None:
                    if now_s > received_s + TIMEOUT_S:
                        raise TopicUnreadable(f"Kafka at {self.kafka} sent no record of {self.name} in {TIMEOUT_S} s")
                    continue
                received_s = now_s
                if error := message.error():
                    if error.code() == KafkaError._PARTITION_EOF:
                        return
                    raise KafkaException(error)
                record = _record(message)
                if record.offset < offsets.stop:
                    yield record
                if record.offset + 1 >= offsets.stop:
                    return

    def write(self, keys: Collection[bytes]) -> None:
        self._produce(dict.fromkeys(keys, VALUE))

    def remove(self, keys: Collection[bytes]) -> None:
        self._produce(dict.fromkeys(keys))

    def _produce(self, records: Mapping[bytes, bytes | None]) -> None:
        errors: list[KafkaError] = []
        left = set(records)

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                errors.append(error)
            else:
                left.discard(message.key() or b"")

        for key, value in records.items():
            while True:
                try:
                    self._producer.produce(self.name, value, key, PARTITION, on_delivery=delivered)
                except BufferError:
                    self._producer.poll(0.1)
                else:
                    break
        self._producer.flush(DELIVERY_TIMEOUT_MS / 1000 + 1)
        if errors:
            raise self._unavailable(errors[0])
        if left:
            raise TopicUnreadable(f"Kafka at {self.kafka} did not acknowledge {len(left)} records of {self.name}")

    def _unavailable(self, error: KafkaError) -> TopicUnreadable:
        if error.code() in MISSING:
            return TopicUnreadable(f"{self.name} does not exist. Run: python -m streams topics apply")
        return TopicUnreadable(f"Kafka at {self.kafka} does not answer for {self.name}: {error.str()}")


def _record(message: Message) -> TopicRecord:
    key = message.key() or b""
    key = key.encode() if isinstance(key, str) else key
    return TopicRecord(message.offset() or 0, message.timestamp()[1], key, message.value() is None)


@cache
def configured_topic() -> PassedByTopic | None:
    """The process's topic, made once from the settings; None if the settings name none."""
    conf = settings()
    if not conf.passed_by_topic:
        return None
    return KafkaPassedByTopic(kafka_cluster(conf), conf.passed_by_topic, has_ids=not conf.kafka_embedded)
