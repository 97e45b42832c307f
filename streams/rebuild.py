"""Rebuilds: every value of a partition pushed again, to a store that may have lost them.

A rebuild goes on beside the rounds: it takes the lane for one batch at a time, and pushes what the table holds by then.
"""

import asyncio
from collections.abc import Callable

import structlog
from faust.types import TP

from featurestore.online.store import Written
from streams import births
from streams.fatal import die
from streams.fold import Folder, clock_ms
from streams.gate import Gate
from streams.lanes import Lanes
from streams.metrics import REBUILDING, REBUILT

BATCH = 500  # subjects
PROGRESS_EVERY = 50_000

log = structlog.get_logger(__name__)


class Rebuilds:
    """The rebuilds of one worker. A store is named by its fill (featurestore.online.store)."""

    def __init__(self, lanes: Lanes, gate: Gate, clock: Callable[[], int] = clock_ms):
        self.lanes, self.gate, self.clock = lanes, gate, clock
        self._whole: dict[TP, str] = {}
        self._running: dict[TP, tuple[str, asyncio.Task[None]]] = {}

    @property
    def reason(self) -> str | None:
        """Why values may be missing in the store, if so."""
        places = ", ".join(f"{tp.topic}:{tp.partition}" for tp in sorted(self._running))
        return f"pushing every value to the store again: {places}" if places else None

    def whole(self, tp: TP, fill: str) -> bool:
        """Whether everything of a partition has been pushed to this fill by a rebuild of this worker's."""
        return self._whole.get(tp) == fill

    def start(self, tp: TP, folder: Folder, fill: str) -> None:
        """Push a partition to the present fill of the store, if that is not under way."""
        if tp in self._running:
            under_way, task = self._running[tp]
            if under_way == fill:
                return
            task.cancel()
        task = asyncio.create_task(self._run(tp, folder, fill), name=f"rebuild-{tp.topic}-{tp.partition}")
        self._running[tp] = fill, task
        REBUILDING.set(len(self._running))

    async def _run(self, tp: TP, folder: Folder, fill: str) -> None:
        try:
            if await self._push(tp, folder):
                self._whole[tp] = fill
        except Exception as error:  # noqa: BLE001 a task's error is nobody's; without the values no mark moves on
            die("rebuild failed", error, topic=tp.topic, partition=tp.partition)
        finally:
            if self._running.get(tp, ("", None))[1] is asyncio.current_task():
                del self._running[tp]
                REBUILDING.set(len(self._running))

    async def _push(self, tp: TP, folder: Folder) -> bool:
        """False if the partition was given away meanwhile."""
        subjects = fields = 0
        last = b""
        while True:
            async with self.lanes.alone(tp.partition):
                if tp not in self.lanes.applied:
                    return False
                keys = folder.table.keys_after(tp.partition, last, BATCH)
                writes = list(folder.stored(tp.partition, [key for key in keys if key != births.KEY]))
                if writes:
                    outcome = await self.gate.call(self.gate.store.write, writes, self.clock())
                    written = sum(became is Written.DONE for became in outcome)
                    fields += written
                    REBUILT.labels(folder.source.name).inc(written)
            subjects += len(keys)
            if len(keys) < BATCH:
                log.info("pushed again", topic=tp.topic, partition=tp.partition, subjects=subjects, fields=fields)
                return True
            last = keys[-1]
            if subjects % PROGRESS_EVERY < BATCH:
                log.info("pushing again", topic=tp.topic, partition=tp.partition, subjects=subjects, fields=fields)
            await asyncio.sleep(0)  # a round may take the lane
