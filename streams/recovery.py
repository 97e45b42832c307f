"""Recovery: after an assignment the changelog is read back into the tables, a fetch batch at a time.

Faust decides what to read and when it is done. The reading itself is ours, because Faust's costs some 100 us a record,
writes records of a revoked partition that are on their way into the table it wrote to last, and does not notice what a
rebalance dropped.

Invariant: ``active_offsets[tp]`` is the offset up to which the table holds the changelog without a hole.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import structlog
from faust.tables import recovery
from mode import Service

from streams.fetch_batches import FetchBatch
from streams.metrics import RECOVERED, RECOVERY_REMAINING
from streams.table_stores import TableStore
from streams.transport import Consumer

POLL_S = 1.0
SILENCE_S = 3.0  # before reading again; twice as long each time, lest a slow broker's answer be dropped for ever
REPORT_S = 5.0

log = structlog.get_logger(__name__)


class RecoveryProgress:
    """Progress of a recovery, in the log every ``REPORT_S`` and in a metric."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s: float | None = None
        self._reported_s = 0.0
        self._read = 0

    def start(self) -> None:
        if self._began_s is None:
            self._began_s = self._reported_s = self._clock()
            self._read = 0

    def add(self, records: int) -> None:
        self._read += records

    def report(self, remaining: int) -> None:
        """Report that so many records remain."""
        if self._began_s is None:
            return
        RECOVERY_REMAINING.set(remaining)
        now_s = self._clock()
        if now_s - self._reported_s >= REPORT_S:
            per_s = self._read / (now_s - self._began_s)
            log.info("recovering tables", read=self._read, remaining=remaining, per_s=round(per_s),
                     seconds_left=round(remaining / per_s) if per_s else None)  # fmt: skip
            self._reported_s = now_s

    def end(self) -> None:
        if self._began_s is not None:
            took_s = self._clock() - self._began_s
            log.info("changelog read", records=self._read, seconds=round(took_s, 3))
            RECOVERY_REMAINING.set(0)
            self._began_s = None


class Recovery(recovery.Recovery):
    """Faust's recovery with a reader of fetch batches."""

    def __init__(self, app: Any, tables: Any, **options: Any) -> None:
        super().__init__(app, tables, **options)
        self.progress = RecoveryProgress()

    @Service.task
    async def _slurp_changelogs(self) -> None:
        silent_s, allowed_s = 0.0, SILENCE_S
        while not self.should_stop:
            try:
                event = await asyncio.wait_for(self.tables.changelog_queue.get(), POLL_S)
            except TimeoutError:
                silent_s += POLL_S
                if silent_s >= allowed_s:
                    await self.read_again()
                    silent_s, allowed_s = 0.0, 2 * allowed_s
            else:
                silent_s, allowed_s = 0.0, SILENCE_S
                await self.apply(event.value)
            if self.in_recovery:
                self.progress.report(self.active_remaining_total())
                if not self.need_recovery():
                    self._set_recovery_ended()
                    self.signal_recovery_end.set()

    async def apply(self, batch: FetchBatch) -> None:
        """Write a fetch batch to its table if it comes next; after a lost one seek back to it."""
        tp = batch.tp
        # Batches come through a queue: by now the partition may be revoked, and its table another worker's.
        applied = self.active_offsets.get(tp) if tp in self.active_tps else None
        if applied is None or batch.last_offset <= applied:
            return  # revoked, or a repetition
        if batch.start > applied + 1:
            log.warning("changelog batch lost in a rebalance, reading again", topic=tp.topic, partition=tp.partition,
                        expected=applied + 1, got=batch.start)  # fmt: skip
            await cast(Consumer, self.app.consumer).rewind({tp: applied + 1})
            return
        table = cast(Any, self.tp_to_table[tp])
        changes = {record.key: record.value for record in batch.records if record.key is not None}
        contents = cast(TableStore, table.data)
        contents.write(batch.partition, changes, batch.last_offset)
        contents.note_purge(batch.partition)  # files of before may hold what the changelog has deleted since
        self.active_offsets[tp] = batch.last_offset  # no await since the check above: the table is still this worker's
        self.progress.add(len(batch))
        RECOVERED.labels(table.name).inc(len(batch))

    async def read_again(self) -> None:
        """Seek to the records that are missing while nothing comes.

        A dropped batch is noticed when a later one comes; the last one of a changelog is not.
        """
        if not self.in_recovery:
            return
        behind = {tp: self.active_offsets[tp] + 1 for tp, left in self.active_remaining().items() if left > 0}
        if behind:
            log.warning("changelogs are silent, reading again", partitions=[f"{t}:{p}" for t, p in behind])
            await cast(Consumer, self.app.consumer).rewind(behind)

    def _set_recovery_started(self) -> None:
        super()._set_recovery_started()
        self.signal_recovery_end.clear()  # Faust leaves it set by the recovery before, which would end this one at once
        self.progress.start()

    def _set_recovery_ended(self) -> None:
        super()._set_recovery_ended()
        self.progress.end()
