"""Fetch batches: all records of one fetch and partition as one message."""

from types import SimpleNamespace

import pytest
from faust.types import TP

from streams.fetch_batches import FetchBatch, FetchBatchScheduler, FetchedRecords, KafkaRecord

HEADERS = (("replay_of", b"events.orders.g1/0/1"),)


def fetched(*offsets: int, start: int | None = None) -> FetchedRecords:
    records = [
        SimpleNamespace(offset=o, timestamp=1000 + o, key=b"k", value=b"%d" % o, headers=HEADERS) for o in offsets
    ]
    return FetchedRecords(records, start)


def fetch_batches(records: dict[TP, FetchedRecords]) -> list[FetchBatch]:
    return [batch for _, batch in FetchBatchScheduler().iterate(records)]


def test_fetch_of_a_partition_is_one_message() -> None:
    first, second = fetch_batches({TP("a", 0): fetched(5, 6, 7), TP("a", 1): fetched(0)})
    assert first.records == [KafkaRecord(o, 1000 + o, b"k", b"%d" % o, HEADERS) for o in (5, 6, 7)]
    assert (first.tp, first.start, first.last_offset, len(first)) == (TP("a", 0), 5, 7, 3)
    assert (second.tp, second.last_offset) == (TP("a", 1), 0)


@pytest.mark.parametrize(("position", "start"), [(3, 3), (5, 5), (None, 5), (9, 5)])
def test_fetch_batch_starts_at_the_position_of_its_fetch(position: int | None, start: int) -> None:
    """A position later than the records is one from before a seek."""
    (batch,) = fetch_batches({TP("a", 0): fetched(5, start=position)})
    assert batch.start == start


def test_consecutive_fetch_batches_are_joined() -> None:
    parts = [
        FetchBatch("a", 0, 0, [KafkaRecord(1, 1, b"k", b"x")]),
        FetchBatch("a", 0, 2, [KafkaRecord(2, 2, b"k", b"y")]),
    ]
    joined = FetchBatch.joined(parts)
    assert joined == FetchBatch("a", 0, 0, [*parts[0].records, *parts[1].records])
    assert FetchBatch.joined(parts[:1]) is parts[0]
