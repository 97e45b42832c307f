"""Kafka as the dead letters' house: what lies where, and a record's way back to its topic. Every wait has an end."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from featurestore.config import settings
from featurestore.ingest.errors import KafkaUnavailable

TIMEOUT_S = 3.0
DELIVERY_TIMEOUT_MS = 10_000
READ_THROUGH = 500
"""Records between two wanted ones that are quicker read than jumped over."""

REPLAY_OF_HEADER = "replay_of"
"""The header of a replayed record: which letter it was."""


class KafkaRecord(NamedTuple):
    """One record of a partition. ``timestamp_ms`` is Kafka's own."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: dict[str, bytes]


class Replay(NamedTuple):
    """A record on its way back. ``letter`` names it."""

    dead_letter: str
    topic: str
    partition: int
    key: bytes | None
    value: bytes


class DeadLetterTopic:
    """One conversation with Kafka. Every method raises KafkaUnavailable where it does not answer in time."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "rapport.letters",  # asked for, never joined: partitions are assigned by hand
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 10,  # nobody waits for new records here, but other questions for their turn
                "log_level": 0,
            }
        )

    def close(self) -> None:
        self._consumer.close()

    def bounds(self, topic: str) -> dict[int, range]:
        """The offsets that Kafka has of each partition; none where there is no such topic."""
        with self._answers():
            partitions = self._consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
            found = {}
            for partition in sorted(partitions):
                place = TopicPartition(topic, partition)
                found[partition] = range(*self._consumer.get_watermark_offsets(place, timeout=TIMEOUT_S))
            return found

    def read(self, topic: str, partition: int, offsets: range) -> Iterator[KafkaRecord]:
        """The records of these offsets, those that are still there."""
        if not offsets:
            return
        with self._answers():
            self._consumer.assign([TopicPartition(topic, partition, offsets.start)])
            while True:
                message = self._consumer.poll(TIMEOUT_S)
                if message is None:
                    raise KafkaUnavailable(self._silence(f"no record came in {TIMEOUT_S:.0f} s"))
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

    def records(self, topic: str, wanted: Collection[tuple[int, int]]) -> dict[tuple[int, int], KafkaRecord]:
        """Single records by partition and offset; without those that Kafka no longer has."""
        found, bounds = {}, self.bounds(topic)
        for partition in sorted({partition for partition, _ in wanted} & bounds.keys()):
            offsets = sorted({offset for p, offset in wanted if p == partition and offset in bounds[partition]})
            for run in _runs(offsets):
                for record in self.read(topic, partition, run):
                    found[partition, record.offset] = record
        return {place: found[place] for place in wanted if place in found}

    def find(self, dead_letter: str, topic: str, partition: int, start: int, before_ms: int) -> int | None:
        """Where the replay of a letter is, if it was written at ``start`` or behind it and before a time."""
        for record in self.read(topic, partition, self._from(topic, partition, start)):
            if record.timestamp_ms > before_ms:
                return None
            if record.headers.get(REPLAY_OF_HEADER) == dead_letter.encode():
                return record.offset
        return None

    def send(self, replays: Sequence[Replay]) -> tuple[dict[str, int], dict[str, str]]:
        """Write records. The offsets of those that are there, and what is known of the others, by letter."""
        written: dict[str, int] = {}
        failed = {replay.dead_letter: "no answer" for replay in replays}
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
                "log_level": 0,
            }
        )

        for dead_letter, topic, partition, key, value in replays:

            def settle(error: KafkaError | None, message: Message, dead_letter: str = dead_letter) -> None:
                if error is None:
                    written[dead_letter] = message.offset() or 0
                    del failed[dead_letter]
                else:
                    failed[dead_letter] = error.str()

            header: str | bytes | None = dead_letter.encode()
            producer.produce(topic, value, key, partition, on_delivery=settle, headers=[(REPLAY_OF_HEADER, header)])
        producer.flush(DELIVERY_TIMEOUT_MS / 1000 + 1)
        return written, failed

    def _from(self, topic: str, partition: int, start: int) -> range:
        there = self.bounds(topic).get(partition, range(0))
        return range(max(start, there.start), there.stop)

    @contextmanager
    def _answers(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            raise KafkaUnavailable(self._silence(error.args[0].str())) from None

    def _silence(self, why: str) -> str:
        return f"Kafka at {self.bootstrap} does not answer: {why}. Is it running?"


def _record(message: Message) -> KafkaRecord:
    headers: Any = message.headers() or []
    known = {name: value for name, value in headers if isinstance(value, bytes)}
    partition, offset = message.partition() or 0, message.offset() or 0
    key, value = message.key(), message.value()
    return KafkaRecord(partition, offset, message.timestamp()[1], _bytes(key), _bytes(value) or b"", known)


def _bytes(found: Any) -> bytes | None:
    return found.encode() if isinstance(found, str) else found


def _runs(offsets: Iterable[int]) -> list[range]:
    """Ascending offsets as ranges to read through."""
    runs: list[range] = []
    for offset in offsets:
        if runs and offset - runs[-1].stop < READ_THROUGH:
            runs[-1] = range(runs[-1].start, offset + 1)
        else:
            runs.append(range(offset, offset + 1))
    return runs


@contextmanager
def connect() -> Iterator[DeadLetterTopic]:
    """A conversation with the Kafka that the settings name."""
    kafka = DeadLetterTopic(settings().kafka_bootstrap)
    try:
        yield kafka
    finally:
        kafka.close()
