"""Writer of dead letters: records that cannot be folded, quarantined as they are, with the reason and their offset."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from featurestore import first_timestamp
from streams.changelog import Changelog
from streams.fetch_batches import FetchBatch, KafkaRecord
from streams.metrics import DEAD_LETTERS


class Rejection(NamedTuple):
    """A record that cannot be folded. ``reason``: a metric's label. ``detail`` repeats none of the record's values."""

    record: KafkaRecord
    reason: str
    detail: str


class DeadLetterWriter:
    """Writer to the dead-letter topic. Key and value stay as they were; everything else is in the headers.

    A replay may quarantine a record again: topic, partition and offset identify it.
    """

    def __init__(self, topic: str, changelog: Changelog) -> None:
        self._topic = topic
        self._changelog = changelog

    async def put(self, batch: FetchBatch, rejections: Iterable[Rejection]) -> None:
        """Write and wait for the broker; to be done before the batch is acknowledged."""
        sent = [await self._send(batch, rejection) for rejection in rejections]
        await asyncio.gather(*sent)

    async def _send(self, batch: FetchBatch, rejection: Rejection) -> "asyncio.Future[object]":
        record, reason, detail = rejection
        origin = {"topic": batch.topic, "partition": batch.partition, "offset": record.offset}
        facts = {"reason": reason, "detail": detail, **origin, "timestamp_ms": record.timestamp_ms}
        facts[first_timestamp.HEADER] = _first_ms(record)
        headers = [(name, str(value).encode()) for name, value in facts.items()]
        value = b"" if record.value is None else record.value  # Kafka takes no record without key and value
        DEAD_LETTERS.labels(batch.topic, reason).inc()
        return await self._changelog.producer.send(
            self._topic, value, key=record.key, partition=batch.partition, headers=headers
        )


def _first_ms(record: KafkaRecord) -> int:
    """The record's first timestamp; Kafka's own where its header is malformed."""
    try:
        return first_timestamp.first_timestamp_ms(record.headers, record.timestamp_ms)
    except first_timestamp.MalformedHeader:
        return record.timestamp_ms
