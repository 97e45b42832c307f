"""Topic of passed-by subjects in memory, with gates, and its writer in a stream worker."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from featurestore.consent.passed_by.topic import GoesOn, TopicRecord, always
from tests.kit.passed_by import MemoryPassedBy


@dataclass
class GatedPassedBy(MemoryPassedBy):
    """The topic. ``gate``: called before each call of the verifier's process, and before its answer is used."""

    gate: Callable[[str], None] = lambda name: None

    def bounds(self, goes_on: GoesOn = always) -> range:
        self.gate("read the topic of passed-by subjects")
        return super().bounds(goes_on)

    def read(self, offsets: range, goes_on: GoesOn = always) -> Iterator[TopicRecord]:
        found = list(super().read(offsets, goes_on))
        self.gate("topic of passed-by subjects read")
        yield from found

    def remove(self, keys: Collection[bytes]) -> None:
        if keys:
            self.gate("remove entries")
        super().remove(keys)


class PassedByChangelog:
    """What the writer of passed-by subjects needs of a worker's changelog. ``worker``: it waits at its gates."""

    def __init__(self, worker: Any, topic: MemoryPassedBy) -> None:
        self.worker, self.topic = worker, topic

    async def append(self, topic: str, partition: int, changes: Mapping[bytes, bytes | None]) -> list[range]:
        await self.worker.gate()
        for key, value in changes.items():
            self.topic.append_record(key, removed=value is None)
        await self.worker.gate()
        return []
