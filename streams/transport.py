"""Faust's aiokafka transport, cured of what batches and crashes found in it (issue #3; the traps are numbered there).

Offsets are acknowledged in order and a worker that meets an error ends, so the newest acknowledged offset of a
partition is all there is to commit.
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

FETCH_WAIT_MS = 100

log = structlog.get_logger(__name__)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that talks to the broker."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # trap 7: Faust's 1,500 ms delay recovery and every seek
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        coordinator = self._ensure_consumer()._coordinator
        cast(Any, self.app).lease.watch(coordinator)
        beat_while_joining(coordinator)

    async def _fetch_records(
        self, consumer: Any, active_partitions: set[TP], timeout: float | None = None, max_records: int | None = None
    ) -> Mapping[TP, list[Any]]:
        assignment = consumer._subscription.subscription.assignment
        starts = {tp: assignment.state_value(tp)._position for tp in assignment.tps} if assignment else {}
        records = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        return {tp: FetchedRecords(fetched, starts.get(tp)) for tp, fetched in records.items()}


def beat_while_joining(coordinator: Any) -> None:
    """Send heartbeats also while Faust takes over its partitions, which aiokafka does not.

    Dozens of RocksDBs are opened there: on a busy machine that takes a session, and the worker would be given up for
    dead as soon as it is ready, come again, and so on.
    """
    complete = coordinator._on_join_complete

    async def beat_and_complete(*arguments: Any) -> None:
        coordinator._start_heartbeat_task()
        await complete(*arguments)

    coordinator._on_join_complete = beat_and_complete


class Consumer(driver.Consumer):
    """Consumer of batches."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.expected: dict[TP, int] = {}  # the next offset to hand to the queues, by partition

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, batch: FetchBatch) -> ConsumerMessage:
        seconds, value = batch.records[-1].timestamp_ms / 1000, cast(Any, batch)
        message = ConsumerMessage(tp.topic, tp.partition, batch.last_offset, seconds, 0, [], None, value, None)
        message.generation_id = self.app.consumer_generation_id
        return message

    # Trap 1: Faust takes the offsets inside a batch for a gap, and its gaps swallow the batch's own offset.

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets inside a batch are no gap."""

    def _new_offset(self, tp: TP) -> int | None:
        acked = self._acked[tp]
        newest = max(acked, default=None)
        acked.clear()
        self._acked_index[tp].clear()
        return None if newest is None else newest + 1

    # Trap 2: Faust resumes fetching before it clears its queues at the end of a rebalance; what was in them is gone.
    # So the app rewinds when all that is over, and a batch that does not follow the one before is proof of a loss.

    async def perform_seek(self) -> None:
        """Seek to the committed offsets, and expect them next."""
        await super().perform_seek()
        assigned = [tp for tp in self.assignment() if self.app.topics.acks_enabled_for(tp.topic)]
        committed = {tp: offset for tp in assigned if (offset := self._read_offset[tp]) is not None}
        fresh = [tp for tp in assigned if tp not in committed]
        self.expected = {**committed, **(await self.earliest_offsets(*fresh) if fresh else {})}
        cast(Any, self.app).partition_queues.restart(self.expected)

    def revoke(self, partitions: Iterable[TP]) -> None:
        """Expect nothing of these partitions until ``perform_seek``: another worker may have gone on."""
        for tp in partitions:
            self.expected.pop(tp, None)

    async def follows(self, batch: FetchBatch) -> bool:
        """Whether ``batch`` comes next or repeats what came; after a lost one, seek back to it and say no.

        One of a partition that was assigned a moment ago may come before the position to begin at is known, and behind
        others that were dropped. Nothing of it is taken: the seek to that position is on its way.
        """
        tp = batch.tp
        if tp not in self.expected:
            return False
        expected = self.expected[tp]
        if batch.start > expected:
            kept = (await self.earliest_offsets(tp))[tp]
            if kept > expected:
                log.error("retention deleted events that were never read", topic=tp.topic, partition=tp.partition,
                          first=expected, last=kept - 1)  # fmt: skip
                expected = kept
        if batch.start > expected:
            log.warning("batch lost in a rebalance, reading again", topic=tp.topic, partition=tp.partition,
                        expected=expected, got=batch.start)  # fmt: skip
            await self.rewind({tp: expected})
            return False
        self.expected[tp] = batch.last_offset + 1
        return True

    async def rewind(self, positions: Mapping[TP, int]) -> None:
        """FetchedRecords from these offsets on. What is on its way comes twice, which does no harm."""
        try:
            await self.seek_wait(positions)
        except IllegalStateError:
            log.info("partitions have moved on: their new owner reads them")

    def forget(self, message: ConsumerMessage) -> None:
        """Let go of a message that will never be acknowledged: a rebalance would wait for it."""
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)

    # Pressure is felt by a full queue alone. Taking single partitions out of the fetch drops what is on its way, and
    # with all of them out Faust sleeps a second.

    def on_buffer_full(self, tp: TP) -> None:
        """Leave the partition in the fetch."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Nothing was taken out."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's guesses about slow streams need its costly monitor; lag is in our metrics."""


class Transport(driver.Transport):
    """Faust's transport with the consumer above."""

    Consumer = Consumer
