"""Dead letters: records that cannot be folded, put aside as they are, with the reason and the place they came from."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from streams.fetch_batches import FetchBatch, KafkaRecord
from streams.changelog import Changelog
from streams.metrics import DEAD_LETTERS


class Rejection(NamedTuple):
    """A record nobody can fold. ``reason`` is one word for counting; ``detail`` repeats none of the record's values."""

    record: KafkaRecord
    reason: str
    detail: str


class DeadLetterWriter:
    """The topic of records put aside. Key and value stay as they were; everything else is in the headers.

    A replay may put a record aside again: topic, partition and offset tell that it is the same.
    """

    def __init__(self, topic: str, changelog: Changelog) -> None:
        self._topic = topic
        self._changelog = changelog

    async def put(self, batch: FetchBatch, rejected: Iterable[Rejection]) -> None:
        """Write and wait for the broker; to be done before the batch is acknowledged."""
        sent = [await self._send(batch, one) for one in rejected]
        await asyncio.gather(*sent)

    async def _send(self, batch: FetchBatch, rejected: Rejection) -> "asyncio.Future[object]":
        record, reason, detail = rejected
        place = {"topic": batch.topic, "partition": batch.partition, "offset": record.offset}
        facts = {"reason": reason, "detail": detail, **place, "timestamp_ms": record.timestamp_ms}
        headers = [(name, str(value).encode()) for name, value in facts.items()]
        value = b"" if record.value is None else record.value  # Kafka takes no record without key and value
        DEAD_LETTERS.labels(batch.topic, reason).inc()
        return await self._changelog.producer.send(
            self._topic, value, key=record.key, partition=batch.partition, headers=headers
        )
