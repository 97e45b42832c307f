"""Dead letters' topic in memory."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from featurestore.config import settings
from featurestore.ingest.dead_letter_records import dead_letter_of
from featurestore.ingest.dead_letter_topic import Replay, TopicRecord
from featurestore.ingest.errors import KafkaUnavailable
from featurestore.ingest.models import DeadLetter


@dataclass
class InMemoryDeadLetterTopic:
    """Fake of DeadLetterTopic: ``values`` by partition and offset, ``sent`` in order. Fails if not ``available``."""

    values: dict[tuple[int, int], bytes] = field(default_factory=dict)
    sent: list[Replay] = field(default_factory=list)
    available: bool = True
    kafka: str = "memory:9092"

    @contextmanager
    def connect(self) -> Iterator["InMemoryDeadLetterTopic"]:
        yield self

    def topic_id(self, topic: str) -> str:
        return "one"

    def bounds(self, topic: str) -> dict[int, range]:
        if not self.available:
            raise KafkaUnavailable("Kafka at memory:9092 does not answer: away. Is it running?")
        return {partition: range(len(self.values)) for partition in range(8)}

    def read(self, topic: str, partition: int, offsets: range) -> Iterator[TopicRecord]:
        return iter([])

    def records(self, topic: str, wanted: Collection[tuple[int, int]]) -> dict[tuple[int, int], TopicRecord]:
        self.bounds(topic)
        return {(p, o): TopicRecord(p, o, 0, None, self.values[p, o], {}) for p, o in wanted if (p, o) in self.values}

    def send(self, replays: Sequence[Replay]) -> tuple[dict[str, int], dict[str, str]]:
        self.sent += replays
        return {replay.record_id: len(self.sent) for replay in replays}, {}


def quarantine(kafka: InMemoryDeadLetterTopic, subject: str, value: bytes, reason: str = "invalid") -> DeadLetter:
    """A dead letter of two hours ago with a subject's record, imported into the database."""
    partition, offset = position = 0, len(kafka.values)
    kafka.values[position] = value
    quarantined_at = datetime.now(UTC) - timedelta(hours=2)
    record = TopicRecord(partition, offset, round(quarantined_at.timestamp() * 1000), subject.encode(), value, {})
    dead_letter = dead_letter_of(record, settings().generation)
    dead_letter.topic, dead_letter.reason, dead_letter.detail = (
        "events.orders.g1",
        reason,
        "Object missing required field `id`",
    )
    dead_letter.save()
    return dead_letter
