"""Topics of a new generation, in which the streams' own code quarantines records."""

import asyncio
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from django.core.management import call_command

from devservers.waiting import eventually
from featurestore import names
from featurestore.config import Settings
from featurestore.identity import partition_of
from featurestore.ingest import dead_letter_topic
from featurestore.ingest.errors import KafkaUnavailable
from featurestore.ingest.models import DeadLetter
from featurestore.servers.kafka import kafka_cluster
from streams import topics
from streams.changelog import Changelog
from streams.clock_check import ClockCheck
from streams.dead_letters import DeadLetterWriter, Rejection
from streams.fetch_batches import FetchBatch, KafkaRecord
from streams.lease import longest_skew_ms
from tests.kit.orders import SUBJECT

generations = itertools.count(os.getpid() * 1_000 + 500)


@dataclass
class Quarantine:
    """Quarantine of one generation. ``add`` writes dead letters as a worker does; ``sent`` reads the orders' topic."""

    conf: Settings
    offsets: Any = field(default_factory=itertools.count)

    @property
    def topic(self) -> str:
        return names.events("orders", self.conf.generation)

    @property
    def home(self) -> int:
        return partition_of(SUBJECT, self.conf.partitions)

    def add(
        self, *values: bytes | None, key: bytes | None = SUBJECT.encode(), reason: str = "invalid", detail: str = "why",
        topic: str = "", partition: int | None = None, start: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> list[str]:  # fmt: skip
        """Quarantine values as records of the topic; their ids, TOPIC/PARTITION/OFFSET."""
        partition = self.home if partition is None else partition
        offsets = itertools.count(start) if start is not None else self.offsets
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        quarantined = [KafkaRecord(next(offsets), now_ms, key, value, headers) for value in values]
        fetch_batch = FetchBatch(topic or self.topic, partition, quarantined[0].offset, quarantined)
        asyncio.run(self._add(fetch_batch, [Rejection(record, reason, detail) for record in quarantined]))
        return [f"{fetch_batch.topic}/{partition}/{record.offset}" for record in quarantined]

    async def _add(self, fetch_batch: FetchBatch, rejected: list[Rejection]) -> None:
        clocks = ClockCheck(names.clock(self.conf.generation), self.conf.partitions, longest_skew_ms(self.conf))
        changelog = Changelog(kafka_cluster(self.conf), "tests", None, clocks)
        await changelog.start()
        await DeadLetterWriter(names.dead_letters(self.conf.generation), changelog).put(fetch_batch, rejected)
        await changelog.stop()

    def write(self, topic: str, value: bytes, key: bytes | None, headers: dict[str, bytes]) -> None:
        """Write a record that no worker wrote."""
        producer = Producer({"bootstrap.servers": self.conf.kafka_bootstrap, "log_level": 0})
        producer.produce(topic, value, key, 0, headers=list(headers.items()))
        assert producer.flush(20) == 0

    def sent(self) -> list[tuple[int, bytes | None, bytes | None]]:
        """Partition, key and value of every record of the orders' topic."""
        return [(message.partition(), message.key(), message.value()) for message in self.sent_messages()]

    def sent_messages(self) -> list[Any]:
        """Every record of the orders' topic."""
        consumer = Consumer({"bootstrap.servers": self.conf.kafka_bootstrap, "group.id": "tests", "log_level": 0})
        partitions = [TopicPartition(self.topic, partition, 0) for partition in range(self.conf.partitions)]
        left = sum(high - low for low, high in (consumer.get_watermark_offsets(one, 10) for one in partitions))
        consumer.assign(partitions)
        found: list[Any] = []
        while len(found) < left:
            found += consumer.consume(left - len(found), timeout=5)
        consumer.close()
        return found


def deadletters(*arguments: str) -> str:
    """Output of the command. Raises CommandError, without the output."""
    out = StringIO()
    call_command("deadletters", *arguments, stdout=out)
    return out.getvalue()


def states() -> dict[str, str]:
    return {str(dead_letter): dead_letter.state for dead_letter in DeadLetter.objects.all()}


def create_topics(conf: Settings) -> None:
    """Create the topics and wait: a partition has its leader a moment later."""
    topics.apply(conf, ["orders"])
    with dead_letter_topic.connect() as kafka:
        for topic in (names.dead_letters(conf.generation), names.events("orders", conf.generation)):
            eventually(lambda topic=topic: has_leaders(kafka, topic), f"leaders of {topic}")  # type: ignore[misc]


def has_leaders(kafka: dead_letter_topic.DeadLetterTopic, topic: str) -> bool:
    try:
        return bool(kafka.bounds(topic))
    except KafkaUnavailable:
        return False
