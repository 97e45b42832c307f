"""Kafka in memory: one partition of events, purges and dead letters, and the changelog of its table.

It stamps records with its own time, and takes changelog writes and offsets from the owner of the partition only, as the
broker does by the lease (``streams.lease``).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from faust.types import TP

from featurestore import names
from featurestore.consent.outbox.purge_producer import Purge
from featurestore.ingest import dead_letter_topic
from featurestore.ingest.dead_letter_topic import TopicRecord
from streams.fetch_batches import KafkaRecord

GENERATION, PARTITION = 1, 0
EVENTS = TP(names.events("orders", GENERATION), PARTITION)
PURGES = TP(names.purge(GENERATION), PARTITION)
DEAD_LETTERS = TP(names.dead_letters(GENERATION), PARTITION)
HAS_HEADERS = "headers" in KafkaRecord._fields
Headers = Sequence[tuple[str, bytes]]


@dataclass
class LoggedRecord:
    at_ms: int
    key: bytes
    value: bytes | None
    headers: Headers = ()


@dataclass
class Broker:
    """Topics of one partition. ``gate``: called before a client's write, and before it learns of it."""

    clock: Callable[[], int]
    gate: Callable[[str], None]
    logs: dict[TP, list[LoggedRecord]] = field(default_factory=lambda: {EVENTS: [], PURGES: [], DEAD_LETTERS: []})
    committed: dict[TP, int] = field(default_factory=lambda: {EVENTS: 0, PURGES: 0})
    changelog: dict[bytes, bytes] = field(default_factory=dict)
    owner: object = None
    bootstrap: str = "memory:9092"

    def append(self, tp: TP, key: bytes, value: bytes | None, headers: Headers = ()) -> int:
        self.logs[tp].append(LoggedRecord(self.clock(), key, value, headers))
        return len(self.logs[tp]) - 1

    def fetch(self, tp: TP, start: int) -> list[KafkaRecord]:
        found = []
        for offset, one in enumerate(self.logs[tp][start:], start):
            fields: tuple[Any, ...] = (offset, one.at_ms, one.key, one.value)
            found.append(KafkaRecord(*fields, one.headers) if HAS_HEADERS else KafkaRecord(*fields))
        return found

    def write_changelog(self, changes: Mapping[bytes, bytes | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self.changelog.pop(key, None)
            else:
                self.changelog[key] = value


class PurgeTopic:
    """Producer of purges, as the relay uses it."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    def send(self, purges: Sequence[Purge]) -> dict[Purge, str]:
        self.broker.gate("send purges")
        for purge in purges:
            self.broker.append(PURGES, purge.subject.encode(), None)
        self.broker.gate("purges sent")
        return {}


class DeadLetterTopicInMemory:
    """Client of the dead letters, as their import and replay use it."""

    def __init__(self, broker: Broker) -> None:
        self.broker, self.bootstrap = broker, broker.bootstrap

    @contextmanager
    def connect(self) -> Iterator["DeadLetterTopicInMemory"]:
        yield self

    def topic_id(self, topic: str) -> str:
        return "one"

    def bounds(self, topic: str) -> dict[int, range]:
        return {PARTITION: range(len(self.broker.logs[TP(topic, PARTITION)]))}

    def read(self, topic: str, partition: int, offsets: range) -> Iterator[TopicRecord]:
        for offset in offsets:
            yield self._record(topic, offset)

    def records(self, topic: str, wanted: Collection[tuple[int, int]]) -> dict[tuple[int, int], TopicRecord]:
        return {(partition, offset): self._record(topic, offset) for partition, offset in wanted}

    def find_replay(self, record_id: str, topic: str, partition: int, start: int, before_ms: int) -> int | None:
        for offset in range(start, len(self.broker.logs[TP(topic, partition)])):
            record = self._record(topic, offset)
            if record.headers.get(dead_letter_topic.REPLAY_OF_HEADER) == record_id.encode():
                return offset
        return None

    def send(self, replays: Sequence[Any]) -> tuple[dict[str, int], dict[str, str]]:
        self.broker.gate("send replays")
        written = {}
        for replay in replays:
            headers = [(dead_letter_topic.REPLAY_OF_HEADER, replay.record_id.encode())]
            if (first_ms := getattr(replay, "first_ms", None)) is not None:
                headers.append(("first_timestamp_ms", str(first_ms).encode()))
            written[replay.record_id] = self.broker.append(
                TP(replay.topic, replay.partition), replay.key, replay.value, headers
            )
        self.broker.gate("replays sent")
        return written, {}

    def _record(self, topic: str, offset: int) -> TopicRecord:
        one = self.broker.logs[TP(topic, PARTITION)][offset]
        return TopicRecord(PARTITION, offset, one.at_ms, one.key, one.value or b"", dict(one.headers))
