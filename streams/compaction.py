"""Compaction of the RocksDB tables after purges: what was deleted or replaced leaves the disk within a stated time.
So do the folders that are used no more.

RocksDB deletes by adding a record that hides the others, and would drop these when it compacts their files: in days, or
never in a table that is seldom written. A partition is compacted half of the stated time after a purge at the latest,
all purges of that time at once, in a thread: the worker goes on. The partition itself remembers that it is due.
"""

import asyncio
from collections.abc import Iterable

import structlog

from streams.metrics import COMPACTIONS
from streams.table_folders import UnusedFolders
from streams.tables import StateTable

log = structlog.get_logger(__name__)


class TableCompaction:
    """Compaction of the partitions of this worker that were purged, and deletion of ``unused`` folders."""

    def __init__(self, tables: Iterable[StateTable], within_s: float, unused: UnusedFolders) -> None:
        self._tables, self._interval_s, self._unused = list(tables), within_s / 2, unused

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            self._unused.delete()
            await self.compact_due()

    async def compact_due(self) -> int:
        """Compact what is due, one partition after the other; how many were."""
        due = [(table, partition) for table in self._tables for partition in table.contents.due_compactions()]
        for table, partition in due:
            await asyncio.to_thread(table.contents.compact, partition)
            COMPACTIONS.inc()
            log.info("state table compacted", table=table.name, partition=partition)
        return len(due)
