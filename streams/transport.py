"""Faust's aiokafka transport, with cures for what fetch batches and crashes broke in it.

The traps are numbered as in docs/decisions/faust-traps.md.

Invariants: offsets are acknowledged in order, and a worker that meets an error ends, so the newest acknowledged offset
of a partition is all there is to commit. No fetch batch is handled unless it starts at or before the offset after the
previous one: a batch that a rebalance dropped is fetched again, never skipped.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import aiokafka
import structlog
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode.utils.futures import notify

from streams.fetch_batches import FetchBatch, FetchedRecords
from streams.metrics import UNREAD

FETCH_WAIT_MS = 100

log = structlog.get_logger(__name__)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Thread that owns the connection to the broker."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # trap 7: Faust's 1,500 ms delay recovery and every seek
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator
        cast(Any, self.app).lease.watch(coordinator)
        send_heartbeats_while_joining(coordinator)

    async def _fetch_records(
        self, consumer: Any, active_partitions: set[TP], timeout: float | None = None, max_records: int | None = None
    ) -> Mapping[TP, list[Any]]:
        assignment = consumer._subscription.subscription.assignment
        # Read before the fetch, which moves the positions. A seek in between makes a position later than the records;
        # FetchedRecords takes the earlier of both.
        starts = {tp: assignment.state_value(tp)._position for tp in assignment.tps} if assignment else {}
        records = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        return {tp: FetchedRecords(fetched, starts.get(tp)) for tp, fetched in records.items()}


def send_heartbeats_while_joining(coordinator: Any) -> None:
    """Send heartbeats also while Faust takes over its partitions, which aiokafka does not.

    Dozens of RocksDBs are opened there. On a busy machine that takes a session: the broker would remove the worker from
    the group as soon as it is ready, the worker would join again, and so on.
    """
    complete = coordinator._on_join_complete

    async def beat_and_complete(*arguments: Any) -> None:
        coordinator._start_heartbeat_task()
        await complete(*arguments)

    coordinator._on_join_complete = beat_and_complete


class Consumer(driver.Consumer):
    """Consumer of fetch batches. ``expected``: the next offset for the partition queues, by partition."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.expected: dict[TP, int] = {}

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, batch: FetchBatch) -> ConsumerMessage:
        seconds, value = batch.records[-1].timestamp_ms / 1000, cast(Any, batch)
        message = ConsumerMessage(tp.topic, tp.partition, batch.last_offset, seconds, 0, [], None, value, None)
        message.generation_id = self.app.consumer_generation_id
        return message

    # Trap 1: Faust takes the offsets inside a fetch batch for a gap, and its gaps include the batch's own offset, so
    # that its acknowledgement counts as a duplicate and commits stall.

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets inside a fetch batch are no gap."""

    def _new_offset(self, tp: TP) -> int | None:
        acked = self._acked[tp]
        newest = max(acked, default=None)
        acked.clear()
        self._acked_index[tp].clear()
        return None if newest is None else newest + 1

    # Trap 2: Faust resumes fetching before it clears its queues at the end of a rebalance, which drops what they hold.
    # So the app rewinds after that, and a fetch batch that does not follow the previous one proves a loss.

    async def perform_seek(self) -> None:
        """Seek to the committed offsets, and expect them next."""
        await super().perform_seek()
        assigned = [tp for tp in self.assignment() if self.app.topics.acks_enabled_for(tp.topic)]
        committed = {tp: offset for tp in assigned if (offset := self._read_offset[tp]) is not None}
        fresh = [tp for tp in assigned if tp not in committed]
        cast(Any, self.app).topic_watch.check_positions(committed)
        self.expected = {**committed, **(await self.earliest_offsets(*fresh) if fresh else {})}
        cast(Any, self.app).partition_queues.restart(self.expected)

    def revoke(self, partitions: Iterable[TP]) -> None:
        """Expect nothing of these partitions until ``perform_seek``: another worker may have continued."""
        for tp in partitions:
            self.expected.pop(tp, None)

    async def follows(self, batch: FetchBatch) -> bool:
        """Whether ``batch`` comes next or repeats an earlier one. After a lost one: seek back to it, and False.

        A batch of a partition that was just assigned may come before its start position is known, after others that
        were dropped. Nothing of it is taken: the seek to that position follows.
        """
        tp = batch.tp
        if tp not in self.expected:
            return False
        expected = self.expected[tp]
        if batch.start > expected:
            earliest = (await self.earliest_offsets(tp))[tp]
            if earliest > expected:
                log.error("retention deleted events that were never read", topic=tp.topic, partition=tp.partition,
                          first=expected, last=earliest - 1)  # fmt: skip
                UNREAD.labels(tp.topic).inc(earliest - expected)
                expected = earliest
        if batch.start > expected:
            log.warning("fetch batch lost in a rebalance, reading again", topic=tp.topic, partition=tp.partition,
                        expected=expected, got=batch.start)  # fmt: skip
            await self.rewind({tp: expected})
            return False
        self.expected[tp] = batch.last_offset + 1
        return True

    async def rewind(self, positions: Mapping[TP, int]) -> None:
        """Fetch from these offsets on. Records that are on their way come twice, which does no harm."""
        try:
            await self.seek_wait(positions)
        except IllegalStateError:
            log.info("partitions were revoked, not reading again")

    def forget(self, message: ConsumerMessage) -> None:
        """Drop a message that will never be acknowledged: a rebalance would wait for it."""
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)

    # Back-pressure comes from full queues alone. Faust would take single partitions out of the fetch, which drops what
    # is on its way, and with all of them out it sleeps a second.

    def on_buffer_full(self, tp: TP) -> None:
        """Leave the partition in the fetch."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Nothing was taken out."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's guesses about slow streams need its costly monitor; lag is in our metrics."""


class Transport(driver.Transport):
    """Faust's transport with the consumer above."""

    Consumer = Consumer
