"""WatermarkPublisher: readers learn from the store how far each partition is folded and pushed, and to which fill of the store.

Each node of the store has its own. A partition whose mark is missing or of another fill may have lost values with the
node: those of its subjects are pushed again (streams.republisher) before the mark moves on. A mark names the fill that was
vouched for before the push, so that a node which is emptied meanwhile never looks whole.
"""

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from faust.types import TP

from featurestore.store.protocol import Watermark, Node, StoreUnavailable
from streams.processing import SourceProcessor
from streams.retrying_store import READ_TIMEOUT_MS, RetryingStore
from streams.partition_queues import PartitionQueues
from streams.republisher import Republisher

log = structlog.get_logger(__name__)


class WatermarkPublisher:
    """Publishes what ``streams.freshness`` found, for the topics that have a folder."""

    def __init__(
        self,
        folders: Mapping[str, SourceProcessor],
        lanes: PartitionQueues,
        gate: RetryingStore,
        rebuilds: Republisher,
        generation: int,
    ):
        self.folders, self.lanes, self.gate, self.rebuilds = folders, lanes, gate, rebuilds
        self.generation = generation

    async def publish(self, until_ms: Mapping[TP, int]) -> None:
        """Move the marks of partitions that are folded up to a time. While the store is away, none moves."""
        due = [tp for tp in until_ms if tp.topic in self.folders]
        places = [(self.folders[tp.topic].source.name, tp.partition) for tp in due]
        try:
            nodes = await self.gate.once(self.gate.store.nodes)
        except StoreUnavailable as error:
            log.warning("marks stand still", reason=str(error))
        else:
            await asyncio.gather(*(self._publish_to(node, until_ms, due, places) for node in nodes))

    async def _publish_to(
        self, node: Node, until_ms: Mapping[TP, int], due: Sequence[TP], places: Sequence[tuple[str, int]]
    ) -> None:
        try:
            ((fill, marks),) = (await self.gate.once(node.read, (), (), places, READ_TIMEOUT_MS)).nodes
            if not fill:
                return
            moves = []
            for tp, mark in zip(due, marks, strict=True):
                if (mark is not None and mark.incarnation == fill) or self.rebuilds.whole(tp, node, fill):
                    moves.append(self._move(tp, until_ms[tp], node, fill))
                else:
                    self.rebuilds.start(tp, self.folders[tp.topic], node, fill)
            await asyncio.gather(*moves)
        except StoreUnavailable as error:
            log.warning("marks stand still", node=node.name, reason=str(error))

    async def _move(self, tp: TP, until_ms: int, node: Node, fill: str) -> None:
        folder = self.folders[tp.topic]
        async with self.lanes.alone(tp.partition):
            applied = self.lanes.applied.get(tp)
            if applied is None:
                return  # given away meanwhile
            coverage_starts_ms = await folder.births(tp.partition, at_beginning=applied == 0)
        mark = Watermark(self.generation, applied - 1, until_ms, coverage_starts_ms, fill)
        await self.gate.once(node.advance_watermark, folder.source.name, tp.partition, mark)
