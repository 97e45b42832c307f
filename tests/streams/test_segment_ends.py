"""A record ends the segments of every partition of the worker, and changes nothing."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
from faust.types import TP

from featurestore.config import Settings
from featurestore.topic_retention import changelog_lag, compacted_after, segment_of_lag
from streams.partition_queues import PartitionQueues
from streams.segment_ends import SegmentEnds
from streams.topics import required_topics
from tests.kit.state_tables import MemoryStateTable

pytestmark = pytest.mark.anyio
EVERY = timedelta(hours=6)


class MemoryChangelog:
    """A changelog writer that lists what was appended."""

    def __init__(self) -> None:
        self.appended: list[tuple[str, int, dict[bytes, bytes | None]]] = []

    async def append(self, topic: str, partition: int, changes: Mapping[bytes, bytes | None]) -> None:
        self.appended.append((topic, partition, dict(changes)))


async def test_each_assigned_partition_of_each_table_gets_a_record_that_changes_nothing() -> None:
    queues, tables, changelog = PartitionQueues(), [MemoryStateTable(), MemoryStateTable()], MemoryChangelog()
    queues.applied = {TP("events.orders.g1", 0): 7, TP("events.chat.g1", 0): 1, TP("events.orders.g1", 2): 0}
    for table in tables:
        table.values = {b"a" * 32: b"state"}
    await SegmentEnds(queues, tables, changelog, "rapport.passed-by", EVERY).write()
    for table in tables:
        assert table.values == {b"a" * 32: b"state"}
        assert table.commits == [{b"\0segment": None}] * 2
    assert changelog.appended == [("rapport.passed-by", 0, {b"\0segment": None})]


async def test_nothing_is_written_without_partitions_and_without_a_topic() -> None:
    table, changelog = MemoryStateTable(), MemoryChangelog()
    await SegmentEnds(PartitionQueues(), [table], changelog, "", EVERY).write()
    assert not table.commits
    assert not changelog.appended


def test_stated_time_of_a_changelog_holds_for_a_partition_that_is_idle() -> None:
    """Values are compacted, the tombstone stays, and is compacted: each time a segment may have to be closed before."""
    settings = Settings(changelog_lag_hours=24)
    lag, segment = changelog_lag(settings), segment_of_lag(changelog_lag(settings))
    for topic in required_topics(settings, ["orders"]):
        if topic.config["cleanup.policy"] == "compact":
            after, kept = (
                timedelta(milliseconds=int(topic.config[name]))
                for name in ("max.compaction.lag.ms", "delete.retention.ms")
            )
            assert timedelta(milliseconds=int(topic.config["segment.ms"])) <= segment
            assert segment + after + kept + segment + after <= compacted_after(lag)
