"""Watch over a worker's topics: at each assignment nothing is processed until they are those of the tables."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from faust.types import TP

from streams.metrics import REFUSED
from streams.partition_purge import PartitionPurge
from streams.partition_queues import PartitionQueues
from streams.process_end import end_process
from streams.topic_check import TopicCheck, TopicRefused

RETRY_S = 1.0
INTERVAL_S = 60.0

log = structlog.get_logger(__name__)


class TopicWatch:
    """Watch of one worker. ``refusal``: why it processes nothing, with the command that mends it; None if it does."""

    def __init__(self, check: TopicCheck, queues: PartitionQueues, partition_purge: PartitionPurge) -> None:
        self.topic_check, self.queues, self.partition_purge = check, queues, partition_purge
        self.refusal: str | None = None
        self._purges: dict[int, asyncio.Task[None]] = {}
        self._unpurged = asyncio.Event()

    async def admit(self, consumer: Any, partitions: Collection[int]) -> None:
        """Return when the topics of assigned partitions are those of the tables. It may never return.

        The process stays alive meanwhile, so that its readiness and its metrics report the refusal.
        """
        while True:
            try:
                lost = await self.topic_check.check(consumer, partitions, store=True)
            except TopicRefused as error:
                if self.refusal is None:
                    log.critical("topics refused", reason=str(error))
                self.refusal = str(error)
                REFUSED.set(1)
            except (KafkaError, KafkaException) as error:
                log.warning("cannot compare topics", error=repr(error))
            else:
                self.refusal = None
                REFUSED.set(0)
                self._start_purges(consumer, lost)
                return
            await asyncio.sleep(RETRY_S)

    async def run(self, consumer: Any) -> None:
        """Check again each minute. A topic that was made anew meanwhile ends the process, which refuses it then.

        A purge that an assignment starts finds no partition that is processed yet: it is repeated a moment later.
        """
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._unpurged.wait(), INTERVAL_S)
                self._unpurged.clear()
                await asyncio.sleep(RETRY_S)
            partitions = {tp.partition for tp in self.queues.applied}
            if not partitions:
                continue
            try:
                self._start_purges(consumer, await self.topic_check.check(consumer, partitions, store=False))
            except TopicRefused as error:
                end_process("topics refused", error)
            except (KafkaError, KafkaException) as error:
                log.warning("cannot compare topics", error=repr(error))

    def check_positions(self, positions: Mapping[TP, int]) -> None:
        """End the process if a committed offset is behind the end of its partition."""
        try:
            self.topic_check.check_positions(positions)
        except TopicRefused as error:
            end_process("topics refused", error)

    def _start_purges(self, consumer: Any, partitions: set[int]) -> None:
        for partition in partitions - self._purges.keys():
            log.error("the purge topic was deleted or restored: every subject is purged", partition=partition)
            self._purges[partition] = asyncio.create_task(self._purge(consumer, partition), name=f"purge-{partition}")

    async def _purge(self, consumer: Any, partition: int) -> None:
        try:
            if await self.partition_purge.run(partition):
                async with self.queues.exclusive(partition):
                    await self.topic_check.accept_purge_topic(consumer, partition)
            else:
                self._unpurged.set()
        except Exception as error:  # noqa: BLE001 no caller awaits the task
            end_process("purge of a partition failed", error, partition=partition)
        finally:
            self._purges.pop(partition, None)
