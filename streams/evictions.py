"""Evicted subjects, as a worker treats them: whose values it writes again, and which ones a republication leaves out.

Evictions themselves are made by a background task, in the store alone: no table changes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from featurestore.store.protocol import EVICTED_MS, marked_ms
from featurestore.tiles.state_record import decode
from featurestore.tiles.view_codec import newest_event_s_of
from streams.table_stores import TableStore


class Part(Protocol):
    """One source's part of a micro-batch: its subjects, which are the keys of ``arrivals``."""

    @property
    def partition(self) -> int: ...
    @property
    def arrivals(self) -> Collection[str]: ...


class Table(Protocol):
    @property
    def contents(self) -> TableStore: ...


def evicted_subjects(
    marks: Mapping[str, bytes | None], parts: Sequence[Part], purged: Mapping[int, Collection[str]]
) -> dict[int, list[str]]:
    """The evicted subjects of a micro-batch, of which not every value was written, by partition."""
    found: dict[int, list[str]] = {}
    for part in parts:
        done = {*found.get(part.partition, ()), *purged.get(part.partition, ())}
        marked = ((subject, marks[subject]) for subject in part.arrivals if subject not in done)
        if evicted := [subject for subject, mark in marked if mark is not None and marked_ms(mark) == EVICTED_MS]:
            found.setdefault(part.partition, []).extend(evicted)
    return found


class IdleSubjects:
    """Subjects that counted no event for so many seconds, as the tables of all sources have it."""

    def __init__(self, tables: Sequence[Table], idle_s: int, clock: Callable[[], int]):
        self.tables, self.idle_s, self.clock = tables, idle_s, clock

    def among(self, partition: int, keys: Sequence[bytes]) -> dict[str, int]:
        """The idle ones among some keys of a partition, all of which this worker owns, with their newest event."""
        since_s, newest_s = self.clock() // 1000 - self.idle_s, dict.fromkeys(keys, 0)
        for table in self.tables:
            for key, raw in table.contents.read_many(partition, newest_s).items():
                newest_s[key] = max(newest_s[key], _newest_s(raw))
            newest_s = {key: second for key, second in newest_s.items() if second < since_s}
        return {key.decode(): second for key, second in newest_s.items()}


def _newest_s(raw: bytes) -> int:
    """The second of the newest event that a state record counted; 0 if it counted none."""
    views = decode(raw).views.values()
    return max((newest_event_s_of(stored.tiles) for states in views for stored in states), default=0)
