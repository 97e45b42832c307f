"""Topic of the consent journal: appended to and read with time limits. Only partition 0 is used, so it has one order.

The topic belongs to no generation: it outlives the event topics.
"""

from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from typing import NamedTuple, Protocol

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from featurestore.config import settings
from featurestore.consent.journal.records import JournalRecord, decode, encode
from featurestore.servers.kafka import KafkaCluster, kafka_cluster
from featurestore.topic_ids import topic_ids

PARTITION = 0
TIMEOUT_S = 3.0
DELIVERY_TIMEOUT_MS = 5000
FETCHED_RECORDS = 500


class JournalUnreadable(Exception):
    """The journal can't be read now; the message states why and what to do."""


class Entry(NamedTuple):
    """A record at its offset."""

    offset: int
    record: JournalRecord


class Journal(Protocol):
    """The consent journal. Tests have one in memory."""

    name: str

    def append(self, records: Sequence[JournalRecord]) -> dict[int, str]:
        """Append records and wait for the broker. Returns the failures: the error by the record's token."""

    def topic_id(self) -> str:
        """The id of the topic; "" on brokers that have none. Raises JournalUnreadable."""

    def bounds(self) -> range:
        """The offsets that the topic has now. Raises JournalUnreadable."""

    def read(self, offsets: range) -> Iterator[list[Entry]]:
        """The records of these offsets in order, some at a time. Raises JournalUnreadable."""


class KafkaJournal:
    """The journal in Kafka. A record that is appended twice is harmless. Each thread that reads has its own object.

    ``has_ids``: whether the brokers can be asked for the ids of topics.
    """

    def __init__(self, kafka: KafkaCluster, topic: str, *, has_ids: bool = True):
        self.kafka, self.name, self.has_ids = kafka, topic, has_ids

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

    @cached_property
    def _consumer(self) -> Consumer:
        return Consumer(
            {
                **self.kafka.librdkafka(),
                "group.id": "rapport.journal",  # required, but never joined: the partition is assigned here
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )

    def append(self, records: Sequence[JournalRecord]) -> dict[int, str]:
        failures = {record.token: "the broker did not acknowledge it" for record in records}
        for record in records:

            def delivered(error: KafkaError | None, _message: Message, token: int = record.token) -> None:
                if error is None:
                    del failures[token]
                else:
                    failures[token] = error.str()

            try:
                self._producer.produce(
                    self.name, encode(record), record.subject.encode(), PARTITION, on_delivery=delivered
                )
            except (BufferError, KafkaException) as error:
                failures[record.token] = str(error)
        self._producer.flush(DELIVERY_TIMEOUT_MS / 1000 + 1)
        return failures

    def topic_id(self) -> str:
        if not self.has_ids:
            return ""
        try:
            return topic_ids(self._admin, [self.name], TIMEOUT_S).get(self.name, "")
        except KafkaException as error:
            raise self._unavailable(error.args[0]) from None
        except TimeoutError:
            raise JournalUnreadable(f"Kafka at {self.kafka} did not describe {self.name} in {TIMEOUT_S} s") from None

    def bounds(self) -> range:
        try:
            return range(*self._consumer.get_watermark_offsets(self._at(0), timeout=TIMEOUT_S))
        except KafkaException as error:
            raise self._unavailable(error.args[0]) from None

    def read(self, offsets: range) -> Iterator[list[Entry]]:
        if not offsets:
            return
        try:
            self._consumer.assign([self._at(offsets.start)])
            position = offsets.start
            while position < offsets.stop:
                # For so many it waits, whatever has arrived.
                messages = self._consumer.consume(min(FETCHED_RECORDS, offsets.stop - position), TIMEOUT_S)
                if not messages:
                    raise JournalUnreadable(f"Kafka at {self.kafka} sent no record of {self.name} in {TIMEOUT_S} s")
                for message in messages:
                    if error := message.error():
                        raise self._unavailable(error)
                entries = [Entry(_offset(message), self._record(message)) for message in messages]
                position = entries[-1].offset + 1
                yield [entry for entry in entries if entry.offset < offsets.stop]
        except KafkaException as error:
            raise self._unavailable(error.args[0]) from None
        finally:
            self._consumer.unassign()

    def _at(self, offset: int) -> TopicPartition:
        return TopicPartition(self.name, PARTITION, offset)

    def _record(self, message: Message) -> JournalRecord:
        try:
            return decode(message.value())
        except msgspec.MsgspecError as error:
            raise JournalUnreadable(
                f"offset {message.offset()} of {self.name} is no record of the journal ({error}): does another program "
                "write to this topic?"
            ) from None

    def _unavailable(self, error: KafkaError) -> JournalUnreadable:
        if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC):
            return JournalUnreadable(f"{self.name} does not exist. Run: python -m streams topics apply")
        return JournalUnreadable(f"Kafka at {self.kafka} does not answer for {self.name}: {error.str()}")


def _offset(message: Message) -> int:
    return message.offset() or 0


@cache
def configured_journal() -> Journal | None:
    """The process's journal, made once from the settings; None if the settings name none."""
    conf = settings()
    if not conf.journal_topic:
        return None
    return KafkaJournal(kafka_cluster(conf), conf.journal_topic, has_ids=not conf.kafka_embedded)
