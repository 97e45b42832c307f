"""Publisher of freshness watermarks: how far each partition is folded and pushed, for readers, to each store node.

A watermark names the store incarnation (one life of a node's contents) that was vouched for before the push. If a
node's watermark of a partition is missing or names another incarnation, the node may have lost values: all of them are
pushed again (``streams.republisher``) before the watermark advances.
"""

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from faust.types import TP

from featurestore.store.protocol import Node, StoreUnavailable, Watermark
from streams.partition_queues import PartitionQueues
from streams.processing import SourceProcessor
from streams.republisher import Republisher
from streams.retrying_store import READ_TIMEOUT_MS, RetryingStore

log = structlog.get_logger(__name__)


class WatermarkPublisher:
    """Publisher of the times that ``streams.freshness`` found, for the event topics that have a processor."""

    def __init__(
        self,
        processors: Mapping[str, SourceProcessor],
        queues: PartitionQueues,
        store: RetryingStore,
        republisher: Republisher,
        generation: int,
    ):
        self.processors, self.queues, self.store, self.republisher = processors, queues, store, republisher
        self.generation = generation

    async def publish(self, folded_to_ms: Mapping[TP, int]) -> None:
        """Advance the watermarks of partitions that are folded up to a time; none while the store is unavailable."""
        due = [tp for tp in folded_to_ms if tp.topic in self.processors]
        partitions = [(self.processors[tp.topic].source.name, tp.partition) for tp in due]
        try:
            nodes = await self.store.call_once(self.store.online.nodes)
        except StoreUnavailable as error:
            log.warning("watermarks not advanced", reason=str(error))
        else:
            await asyncio.gather(*(self._publish_to(node, folded_to_ms, due, partitions) for node in nodes))

    async def _publish_to(
        self, node: Node, folded_to_ms: Mapping[TP, int], due: Sequence[TP], partitions: Sequence[tuple[str, int]]
    ) -> None:
        try:
            # The incarnation is read before anything is pushed: a node that is emptied during the push has another one
            # afterwards, and the watermark, which names the old one, does not make it look complete.
            reading = await self.store.call_once(node.read, (), (), partitions, READ_TIMEOUT_MS)
            ((incarnation, watermarks),) = reading.nodes
            if not incarnation:
                return
            advances = []
            for tp, watermark in zip(due, watermarks, strict=True):
                current = watermark is not None and watermark.incarnation == incarnation
                if current or self.republisher.has_republished(tp, node, incarnation):
                    advances.append(self._advance(tp, folded_to_ms[tp], node, incarnation))
                else:
                    self.republisher.start(tp, self.processors[tp.topic], node, incarnation)
            await asyncio.gather(*advances)
        except StoreUnavailable as error:
            log.warning("watermarks not advanced", node=node.name, reason=str(error))

    async def _advance(self, tp: TP, folded_to_ms: int, node: Node, incarnation: str) -> None:
        processor = self.processors[tp.topic]
        async with self.queues.exclusive(tp.partition):
            applied = self.queues.applied.get(tp)
            if applied is None:
                return  # revoked since
            coverage_starts_ms = await processor.ensure_coverage_starts(tp.partition, at_beginning=applied == 0)
        watermark = Watermark(self.generation, applied - 1, folded_to_ms, coverage_starts_ms, incarnation)
        await self.store.call_once(node.advance_watermark, processor.source.name, tp.partition, watermark)
