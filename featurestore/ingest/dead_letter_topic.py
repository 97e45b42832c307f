"""Kafka client for dead letters: reads them from their topics, sends their records again. Calls have time limits."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from featurestore import first_timestamp
from featurestore.config import settings
from featurestore.ingest.errors import KafkaUnavailable
from featurestore.servers.kafka import KafkaCluster, kafka_cluster
from featurestore.topic_ids import topic_ids

TIMEOUT_S = 3.0
DELIVERY_TIMEOUT_MS = 10_000
MAX_GAP = 500
"""So many records between two wanted ones are read faster than skipped."""

REPLAY_OF_HEADER = "replay_of"
"""Header of a replayed record: the id of the record that was quarantined."""


class TopicRecord(NamedTuple):
    """One record of a partition. ``timestamp_ms`` is Kafka's timestamp."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: dict[str, bytes]


class Replay(NamedTuple):
    """A record to be sent again. ``record_id`` is that of the quarantined record.

    ``first_ms`` is Kafka's timestamp of its first recording, by which consent is judged.
    """

    record_id: str
    topic: str
    partition: int
    key: bytes | None
    value: bytes
    first_ms: int


class DeadLetterTopic:
    """Connection to Kafka. Methods raise KafkaUnavailable if Kafka does not answer in time.

    ``has_ids``: whether the brokers can be asked for the ids of topics.
    """

    def __init__(self, kafka: KafkaCluster, *, has_ids: bool = True) -> None:
        self.kafka, self.has_ids = kafka, has_ids
        self._consumer = Consumer(
            {
                **kafka.librdkafka(),
                "group.id": "rapport.dead-letters",  # required, but never joined: partitions are assigned here
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,  # never reads ahead of the end, and other requests queue behind a fetch
                "log_level": 0,
            }
        )

    def close(self) -> None:
        self._consumer.close()

    def topic_id(self, topic: str) -> str:
        """The id of a topic; "" on brokers that have none."""
        if not self.has_ids:
            return ""
        with self._translated_errors():
            admin = AdminClient({**self.kafka.librdkafka(), "log_level": 0})
            return topic_ids(admin, [topic], TIMEOUT_S).get(topic, "")

    def bounds(self, topic: str) -> dict[int, range]:
        """The offsets that Kafka has of each partition; empty if there is no such topic."""
        with self._translated_errors():
            partitions = self._consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
            found = {}
            for partition in sorted(partitions):
                at = TopicPartition(topic, partition)
                found[partition] = range(*self._consumer.get_watermark_offsets(at, timeout=TIMEOUT_S))
            return found

    def read(self, topic: str, partition: int, offsets: range) -> Iterator[TopicRecord]:
        """The records of these offsets, those that are still there."""
        if not offsets:
            return
        with self._translated_errors():
            self._consumer.assign([TopicPartition(topic, partition, offsets.start)])
            while True:
                message = self._consumer.poll(TIMEOUT_S)
                if message is None:
                    raise KafkaUnavailable(self._no_answer(f"no record came in {TIMEOUT_S:.0f} s"))
                if error := message.error():
                    if error.code() == KafkaError._PARTITION_EOF:
                        return
                    raise KafkaException(error)
                record = _record(message)
                if record.offset >= offsets.stop:
                    return
                yield record
                if record.offset + 1 == offsets.stop:
                    return

    def records(self, topic: str, wanted: Collection[tuple[int, int]]) -> dict[tuple[int, int], TopicRecord]:
        """Single records by partition and offset; without those that Kafka no longer has."""
        found, bounds = {}, self.bounds(topic)
        for partition in sorted({partition for partition, _ in wanted} & bounds.keys()):
            offsets = sorted({offset for p, offset in wanted if p == partition and offset in bounds[partition]})
            for run in _runs(offsets):
                for record in self.read(topic, partition, run):
                    found[partition, record.offset] = record
        return {position: found[position] for position in wanted if position in found}

    def find_replay(self, record_id: str, topic: str, partition: int, start: int, before_ms: int) -> int | None:
        """The offset of a record's replay, if it was written at ``start`` or later and before a time; None if not."""
        for record in self.read(topic, partition, self._from(topic, partition, start)):
            if record.timestamp_ms > before_ms:
                return None
            if record.headers.get(REPLAY_OF_HEADER) == record_id.encode():
                return record.offset
        return None

    def send(self, replays: Sequence[Replay]) -> tuple[dict[str, int], dict[str, str]]:
        """Write records. By record id, the offsets of those acknowledged and the errors of the others."""
        written: dict[str, int] = {}
        failed = {replay.record_id: "no answer" for replay in replays}
        producer = Producer(
            {
                **self.kafka.librdkafka(),
                "acks": "all",
                "enable.idempotence": True,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
                "log_level": 0,
            }
        )

        for record_id, topic, partition, key, value, first_ms in replays:

            def delivered(error: KafkaError | None, message: Message, record_id: str = record_id) -> None:
                if error is None:
                    written[record_id] = message.offset() or 0
                    del failed[record_id]
                else:
                    failed[record_id] = error.str()

            headers: list[tuple[str, str | bytes | None]] = [
                (REPLAY_OF_HEADER, record_id.encode()),
                (first_timestamp.HEADER, str(first_ms).encode()),
            ]
            producer.produce(topic, value, key, partition, on_delivery=delivered, headers=headers)
        producer.flush(DELIVERY_TIMEOUT_MS / 1000 + 1)
        return written, failed

    def _from(self, topic: str, partition: int, start: int) -> range:
        available = self.bounds(topic).get(partition, range(0))
        return range(max(start, available.start), available.stop)

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            raise KafkaUnavailable(self._no_answer(error.args[0].str())) from None
        except TimeoutError:
            raise KafkaUnavailable(self._no_answer(f"no answer in {TIMEOUT_S:.0f} s")) from None

    def _no_answer(self, why: str) -> str:
        return f"Kafka at {self.kafka} does not answer: {why}. Is it running?"


def _record(message: Message) -> TopicRecord:
    headers: Any = message.headers() or []
    known = {name: value for name, value in headers if isinstance(value, bytes)}
    partition, offset = message.partition() or 0, message.offset() or 0
    key, value = message.key(), message.value()
    return TopicRecord(partition, offset, message.timestamp()[1], _bytes(key), _bytes(value) or b"", known)


def _bytes(found: Any) -> bytes | None:
    return found.encode() if isinstance(found, str) else found


def _runs(offsets: Iterable[int]) -> list[range]:
    """Ranges to read that contain the ascending offsets."""
    runs: list[range] = []
    for offset in offsets:
        if runs and offset - runs[-1].stop < MAX_GAP:
            runs[-1] = range(runs[-1].start, offset + 1)
        else:
            runs.append(range(offset, offset + 1))
    return runs


@contextmanager
def connect() -> Iterator[DeadLetterTopic]:
    """A client of the Kafka that the settings name."""
    kafka = DeadLetterTopic(kafka_cluster(settings()), has_ids=not settings().kafka_embedded)
    try:
        yield kafka
    finally:
        kafka.close()
