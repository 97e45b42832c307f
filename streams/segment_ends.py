"""Ends of segments: a record for every partition that is compacted, now and then, so that it is although nobody writes.

Kafka compacts no segment that is still written to, and ends one when a record comes that is too late for it. So what
an idle partition holds, a tombstone too, would stay for ever. The record deletes a key that nobody has: it changes
nothing.
"""

import asyncio
from collections.abc import Iterable
from datetime import timedelta

from streams.changelog import Changelog
from streams.partition_queues import PartitionQueues
from streams.tables import StateTable

NO_KEY = b"\0segment"
"""A key that neither a table nor the topic of passed-by subjects holds."""
FIRST = timedelta(minutes=1)
"""After a start: a worker that is often started ends segments, too."""


class SegmentEnds:
    """Ends of segments of the changelogs of this worker's partitions, and of another topic of one partition."""

    def __init__(
        self, queues: PartitionQueues, tables: Iterable[StateTable], changelog: Changelog, topic: str, every: timedelta
    ) -> None:
        self._queues, self._tables, self._changelog, self._topic = queues, list(tables), changelog, topic
        self._every = every

    async def run(self) -> None:
        await asyncio.sleep(min(FIRST, self._every).total_seconds())
        while True:
            await self.write()
            await asyncio.sleep(self._every.total_seconds())

    async def write(self) -> None:
        """Write one record to each partition. An error of the broker's propagates."""
        for partition in sorted({tp.partition for tp in self._queues.applied}):
            async with self._queues.exclusive(partition):
                if any(tp.partition == partition for tp in self._queues.applied):  # not revoked meanwhile
                    for table in self._tables:
                        await table.commit(partition, {NO_KEY: None})
        if self._topic:
            await self._changelog.append(self._topic, 0, {NO_KEY: None})
