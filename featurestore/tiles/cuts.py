"""Cuts: how a view stays within its bytes, whatever events a subject has. Pure.

The weighed states of one level may take ``level_bytes`` (featurestore.definitions.bounds). The *weight* of a level from
a time on is the sum, over the level's steps of time, of the weights of the states that all events of a step would have
as one tile; of those aggregations that are read over the level's window or a longer one. If a level weighs more than it
may, its *cut* is the start of the first step from which on it does not: events before it belong to the next level
early, whose tiles are longer and so fewer. Behind the last level comes the lifetime tile; without one they are dropped.

A cut is a function of the set of events, whatever their order and batches:

- A weight never falls when an event is added, so a cut only moves later, and never misses an event that it was
  computed without: those were before it.
- Weights are those of whole steps of a level. Which finer tiles hold the events of a step makes no difference.
- A cut of a level holds for all finer ones: before it, aggregations that no longer window reads have empty states.
- A cut at or before the start that the level loses by its age is none.

A reader is told the cuts: they make the answer's ``start`` later (featurestore.tiles.view_reader).
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby
from typing import NamedTuple

from featurestore.definitions.bounds import level_of
from featurestore.definitions.view import FeatureView
from featurestore.definitions.windows import Resolution
from featurestore.tiles.resolutions import cuts_in_force, earliest_starts
from featurestore.tiles.state_cells import Cells, StateCells, encode


class Weighed(NamedTuple):
    """Weighed states of a view: their cells, the most bytes of a state by level, and the inflation of the weight.

    The levels are those up to the longest window that the aggregation is read over: behind it, its states are empty. A
    state of fewer than ``plain_below`` bytes weighs these. Both are 0 for states whose weight their bytes don't tell.
    """

    states: StateCells
    most_bytes: list[int]
    inflation: int
    plain_below: int


class CutRule:
    """Rule of one view's cuts."""

    def __init__(self, view: FeatureView, state_cells: Sequence[StateCells], levels: Sequence[Resolution]):
        self.levels = [level for level in levels if level.window_s is not None]
        self.level_bytes = view.bounds.level_bytes
        self.weighed = list(self._weighed(view, state_cells, levels)) if self.level_bytes else []
        self.inflation = max((one.inflation for one in self.weighed), default=0)
        self.row_bytes = sum(one.most_bytes[-1] for one in self.weighed if not one.inflation)

    def _weighed(
        self, view: FeatureView, state_cells: Sequence[StateCells], levels: Sequence[Resolution]
    ) -> Iterator[Weighed]:
        for i, (states, (aggregation, position, _)) in enumerate(zip(state_cells, view.aggregations, strict=True)):
            if aggregation.weighed:
                value_bytes, last = view.value_bytes(position), level_of(levels, view.longest_window_s(i))
                read = self.levels[: last + 1]
                most = [aggregation.most_bytes(level.resolution_s, value_bytes) or 0 for level in read]
                inflation = aggregation.inflation or 0
                yield Weighed(states, most, inflation, min(most) // inflation if inflation else 0)

    def may_cut(self, size: int, starts: Sequence[int], cells: Cells, newest_s: int, cuts: Sequence[int]) -> bool:
        """Whether tiles of some bytes can weigh more than a level may. Cheap, and false for almost every subject."""
        if size * self.inflation + len(starts) * self.row_bytes <= self.level_bytes:
            return False
        if len(self.levels) == 1:
            finer = len(starts)
        else:
            oldest = earliest_starts(self.levels, newest_s)[-2]
            finer = bisect_left(starts, max(oldest, cuts[-2]) if cuts else oldest)
        return sum(heaviest(one, cells, finer) for one in self.weighed) > self.level_bytes

    def cuts(self, starts: Sequence[int], cells: Cells, newest_s: int, cuts: Sequence[int]) -> list[int]:
        """The cuts of tiles whose present cuts are ``cuts``."""
        found = list(cuts) or [0] * len(self.levels)
        for level, oldest in enumerate(earliest_starts(self.levels, newest_s)):
            found[level] = self._cut(level, max(oldest, found[level]), starts, cells) or found[level]
        found = list(accumulate(reversed(found), max))[::-1]
        return cuts_in_force(found, self.levels, newest_s)

    def _cut(self, level: int, from_s: int, starts: Sequence[int], cells: Cells) -> int | None:
        """The cut of a level whose tiles begin at ``from_s`` or later; None if they weigh no more than they may."""
        resolution_s, left = self.levels[level].resolution_s, self.level_bytes
        weighed = [one for one in self.weighed if level < len(one.most_bytes)]
        rows = [row for row in range(len(starts) - 1, -1, -1) if starts[row] >= from_s]
        for step, of_step in groupby(rows, key=lambda row: starts[row] // resolution_s):
            step_rows = list(of_step)
            left -= sum(weight(one, level, step_rows, cells) for one in weighed)
            if left < 0:
                return (int(step) + 1) * resolution_s
        return None


def heaviest(weighed: Weighed, cells: Cells, finer: int) -> int:
    """What the states of an aggregation weigh at most in any level; rows from ``finer`` on are finer than the last."""
    column = cells[weighed.states.first]
    if not weighed.inflation:
        rows = len(column) - column.count(None) - column.count(b"")
        return rows * weighed.most_bytes[-1]
    sizes = list(map(len, column))
    total = sum(sizes)
    largest = max(sizes[:finer], default=0) + sum(sizes[finer:])  # of a step, at most
    return total if largest < weighed.plain_below else weighed.inflation * total


def weight(weighed: Weighed, level: int, rows: Sequence[int], cells: Cells) -> int:
    """The weight of the states of some rows, merged; 0 if they are empty."""
    states, (most_bytes, aggregation) = weighed.states, (weighed.most_bytes[level], weighed.states.aggregation)
    if weighed.plain_below and len(rows) == 1 and (size := len(cells[states.first][rows[0]])) < weighed.plain_below:
        return size
    found = [states.get(cells, row) for row in rows if not states.is_zero(cells, row)]
    if not found:
        return 0
    state = found[0] if len(found) == 1 else aggregation.merge_all(found)
    return aggregation.weight(state, len(encode(state)), most_bytes)
