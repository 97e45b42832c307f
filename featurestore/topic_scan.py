"""Reader of whole topics, a bounded part at a time: every record from a position to what is the partition's end then.

It joins no consumer group and commits nothing. One partition is fetched at a time, so that memory is bounded by
librdkafka's queue, whatever the topics hold.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from featurestore.locations import LocationUnavailable
from featurestore.servers.kafka import KafkaCluster

TIMEOUT_S = 5.0
QUEUE_KB = 16_384


class Position(NamedTuple):
    """Next record to read."""

    topic: str
    partition: int
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class ScannedRecord(NamedTuple):
    """One record. ``timestamp_ms`` is Kafka's; a value of None is a tombstone."""

    at: Position
    timestamp_ms: int
    key: bytes
    value: bytes | None


def parse_position(text: str) -> Position:
    topic, partition, offset = text.rsplit("/", 2)
    return Position(topic, int(partition), int(offset))


class TopicScan:
    """Connection to Kafka. Methods raise LocationUnavailable if it does not answer in time."""

    def __init__(self, kafka: KafkaCluster) -> None:
        self.kafka = kafka
        self._left_at: Position | None = None
        self._consumer = Consumer(
            {
                **kafka.librdkafka(),
                "group.id": "rapport.locations",  # required, but never joined: partitions are assigned here
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "queued.max.messages.kbytes": QUEUE_KB,
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )

    def partitions(self, patterns: Iterable[str]) -> dict[str, int]:
        """The numbers of partitions of the topics whose names match a shell pattern, by name, in order."""
        wanted = list(patterns)
        with self._translated_errors():
            topics = self._consumer.list_topics(timeout=TIMEOUT_S).topics
        return {
            name: len(topics[name].partitions)
            for name in sorted(topics)
            if any(fnmatchcase(name, pattern) for pattern in wanted)
        }

    def read(self, start: Position) -> Iterator[ScannedRecord]:
        """The records of a partition from a position to its present end; all of them, if it ends before the position.

        What was fetched for a read that was left before its end is used by one that begins there.
        """
        with self._translated_errors():
            at = TopicPartition(start.topic, start.partition)
            first, end = self._consumer.get_watermark_offsets(at, timeout=TIMEOUT_S)
            gone_on = start.offset <= end  # else the topic was made anew since
            position = start._replace(offset=max(first, start.offset) if gone_on else first)
            if position.offset >= end:
                return
            goes_on, self._left_at = position == self._left_at, None
            if not goes_on:
                self._assign(position)
            try:
                while True:
                    message = self._consumer.poll(TIMEOUT_S)
                    if message is None:
                        raise self._unavailable(f"no record of {start.topic} came in {TIMEOUT_S:.0f} s")
                    if error := message.error():
                        if error.code() != KafkaError._PARTITION_EOF:
                            raise KafkaException(error)
                        if not goes_on:
                            return
                        goes_on = False
                        self._assign(position)  # that end may be an earlier one
                        continue
                    record = _record(message)
                    position = record.at._replace(offset=record.at.offset + 1)
                    if record.at.offset < end:
                        self._left_at = position if position.offset < end else None
                        yield record
                        self._left_at = None
                    if position.offset >= end:
                        return
            finally:
                if self._left_at is None:
                    self._consumer.unassign()

    def _assign(self, position: Position) -> None:
        self._consumer.assign([TopicPartition(*position)])

    def close(self) -> None:
        self._consumer.close()

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            raise self._unavailable(error.args[0].str()) from None

    def _unavailable(self, why: str) -> LocationUnavailable:
        return LocationUnavailable(f"Kafka at {self.kafka} does not answer: {why}. Is it running?")


def _record(message: Message) -> ScannedRecord:
    at = Position(message.topic() or "", message.partition() or 0, message.offset() or 0)
    return ScannedRecord(at, message.timestamp()[1], _bytes(message.key()) or b"", _bytes(message.value()))


def _bytes(found: Any) -> bytes | None:
    return found.encode() if isinstance(found, str) else found
