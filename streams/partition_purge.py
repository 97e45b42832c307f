"""Purge of a whole partition: every subject that has a state record is purged, because purges may have been lost.

It runs beside the micro-batches, a page of subjects at a time, as republications do.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from streams.metrics import PARTITION_PURGED
from streams.partition_queues import PartitionQueues
from streams.tables import StateTable

PAGE_SUBJECTS = 100

Purge = Callable[[int, Sequence[str]], Awaitable[None]]
"""Purge subjects of a partition."""

log = structlog.get_logger(__name__)


async def purge_nobody(partition: int, subjects: Sequence[str]) -> None:
    """Purge no subject."""


class PartitionPurge:
    """Partition purges of one worker. ``tables``: by source."""

    def __init__(self, queues: PartitionQueues, tables: Mapping[str, StateTable], purge: Purge) -> None:
        self.queues, self.tables, self.purge = queues, tables, purge

    async def run(self, partition: int) -> bool:
        """Purge every subject of a partition; False if it was revoked meanwhile."""
        purged = 0
        for table in self.tables.values():
            last, keys = b"", [b""]
            while keys:
                async with self.queues.exclusive(partition):
                    if not any(tp.partition == partition for tp in self.queues.applied):
                        return False
                    keys = table.contents.keys_after(partition, last, PAGE_SUBJECTS)
                    if subjects := [key.decode() for key in keys if not key.startswith(b"\0")]:
                        await self.purge(partition, subjects)
                        PARTITION_PURGED.inc(len(subjects))
                        purged += len(subjects)
                last = keys[-1] if keys else last
        log.warning("every subject of a partition purged", partition=partition, subjects=purged)
        return True
