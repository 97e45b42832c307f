"""Fetch batches: all records that one fetch brought from one partition, passed on as a single Faust message.

Faust spends some 300 us of framework on each message; its public setting ``ConsumerScheduler`` decides what a message
is. With a whole fetch as the message that cost is paid once for up to 2,000 events.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from faust import EventT
from faust.serializers.schemas import Schema
from faust.types import TP
from faust.types.transports import SchedulingStrategyT


class KafkaRecord(NamedTuple):
    """One Kafka record, undecoded. ``timestamp_ms`` is Kafka's own."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class FetchBatch(msgspec.Struct):
    """Consecutive records of one partition, at least one.

    ``start`` is the position they were fetched from: the topic holds nothing between it and the first record.
    """

    topic: str
    partition: int
    start: int
    records: list[KafkaRecord]

    @property
    def tp(self) -> TP:
        return TP(self.topic, self.partition)

    @property
    def last_offset(self) -> int:
        return self.records[-1].offset

    def __len__(self) -> int:
        return len(self.records)

    @classmethod
    def joined(cls, batches: Iterable["FetchBatch"]) -> "FetchBatch":
        """One fetch batch of several that follow each other."""
        first, *rest = batches
        if not rest:
            return first
        records = [record for batch in (first, *rest) for record in batch.records]
        return cls(first.topic, first.partition, first.start, records)


class FetchedRecords(list[Any]):
    """aiokafka's records of one partition, at least one, with the position they were fetched from."""

    def __init__(self, records: Iterable[Any], start: int | None) -> None:
        super().__init__(records)
        self.start = self[0].offset if start is None else min(start, self[0].offset)


class FetchBatchScheduler(SchedulingStrategyT):
    """Faust's consumer scheduler: one message a partition and fetch."""

    def iterate(self, records: Mapping[TP, list[Any]]) -> Iterator[tuple[TP, FetchBatch]]:
        for (topic, partition), fetched in cast(Mapping[TP, FetchedRecords], records).items():
            batch = [KafkaRecord(r.offset, r.timestamp, r.key, r.value, r.headers) for r in fetched]
            yield TP(topic, partition), FetchBatch(topic, partition, fetched.start, batch)


class PassthroughSchema(Schema):
    """Faust's schema for messages that stay as the scheduler made them."""

    def compile(self, app: Any, **_options: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> EventT:
            return app.create_event(None, message.value, None, message)

        return decode
