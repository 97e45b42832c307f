"""Marks: readers learn from the store how far each partition is folded and pushed, and on which Redis run.

A partition whose mark is missing or of another run may have lost values with the store: all of them are pushed again
before its mark moves on.
"""

from collections.abc import Mapping

import structlog
from faust.types import TP

from featurestore.online.store import Mark, StoreUnavailable
from streams.fold import Folder
from streams.gate import READ_TIMEOUT_MS, Gate
from streams.lanes import Lanes

log = structlog.get_logger(__name__)


class Marks:
    """Publishes what ``streams.freshness`` found, for the topics that have a folder."""

    def __init__(self, folders: Mapping[str, Folder], lanes: Lanes, gate: Gate, generation: int):
        self.folders, self.lanes, self.gate, self.generation = folders, lanes, gate, generation

    async def publish(self, until_ms: Mapping[TP, int]) -> None:
        """Move the marks of partitions that are folded up to a time. While the store is away, none moves."""
        due = {tp: until for tp, until in until_ms.items() if tp.topic in self.folders}
        places = [(self.folders[tp.topic].source.name, tp.partition) for tp in due]
        try:
            reading = await self.gate.once(self.gate.store.read, (), (), places, READ_TIMEOUT_MS)
            if reading.vouched:
                for (tp, until), mark in zip(due.items(), reading.marks, strict=True):
                    await self._move(tp, until, whole=mark is not None and mark.of_this_run)
        except StoreUnavailable as error:
            log.warning("marks stand still", reason=str(error))

    async def _move(self, tp: TP, until_ms: int, *, whole: bool) -> None:
        folder = self.folders[tp.topic]
        async with self.lanes.alone(tp.partition):
            applied = self.lanes.applied.get(tp)
            if applied is None:
                return  # given away meanwhile
            births_ms = await folder.births(tp.partition, 0 if applied == 0 else until_ms)
            if not whole:
                written = await folder.rebuild(tp.partition)
                log.info("pushed again", source=folder.source.name, partition=tp.partition, fields=written)
        mark = Mark(self.generation, applied - 1, until_ms, births_ms)
        await self.gate.once(self.gate.store.mark, folder.source.name, tp.partition, mark)
