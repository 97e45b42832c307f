"""What the store holds of a view: laid out for one reader. Pure.

A field is STAMP (generation u32, offset u64, grant u32; the store's scripts compare it) and a table of *running totals*
(featurestore.tiles.view_codec): for each tile, newest first, the states of that tile and every newer one, merged. A window
is then one bisect and one row, whatever its length. States that grow when merged stay per tile and are merged when
read.
"""

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from featurestore.aggregations.base import State
from featurestore.definitions.view import Feature
from featurestore.definitions.windows import edge
from featurestore.tiles.packed_table import Table
from featurestore.tiles.resolutions import SLACK_S
from featurestore.tiles.view_codec import HEAD, Layout, edition_in

STAMP = struct.Struct("<IQI")
Total = Callable[[Table, int], State]
Finish = Callable[[State, int], Any]


class QuestionTooEarly(ValueError):
    """Asked for a time before the newest event less five minutes, where coarsened tiles no longer have the edge."""


class Stamp(NamedTuple):
    """Where a field's values come from: what fences its writes and ties it to a grant."""

    generation: int
    offset: int
    grant_id: int


def stamp_of(raw: bytes) -> Stamp:
    """The stamp of a packed field."""
    return Stamp(*STAMP.unpack_from(raw))


class Asked:
    """Features of a view, ready to be read: whatever is the same for every customer is looked up once."""

    def __init__(self, layout: Layout, features: Iterable[Feature]):
        self.windows: list[tuple[int | None, int]] = []
        self.features: list[tuple[str, int, Total, Finish, Any, Any]] = []
        for name, column, window_s, step_s, default, _ in features:
            if (window_s, step_s) not in self.windows:
                self.windows.append((window_s, step_s))
            states = layout.states[column]
            finish, empty = states.aggregation.finish, states.aggregation.empty
            place = self.windows.index((window_s, step_s))
            self.features.append((name, place, states.total, finish, empty, default))


class Served:
    """One subject's values of one view, opened for reading from a field."""

    def __init__(self, layout: Layout, raw: bytes):
        self.layout = layout
        self.newest_s, self.ages, self.table = layout.parts(raw, STAMP.size)

    def values(self, asked: Asked, now_ms: int) -> dict[str, Any]:
        """Each feature's value at a time; its default where nothing was counted.

        Raises QuestionTooEarly before the newest event less five minutes.
        """
        now_s = now_ms // 1000
        if now_s < self.newest_s - SLACK_S:
            raise QuestionTooEarly(f"view {self.layout.view.name} has events of more than 5 minutes after that time")
        ends = [self._rows_within(now_s, window_s, step_s) for window_s, step_s in asked.windows]
        answer, table = {}, self.table
        for name, window, total, finish, empty, default in asked.features:
            if end := ends[window]:
                value = finish(total(table, end), now_ms)
                answer[name] = default if value == empty else value
            else:
                answer[name] = default
        return answer

    def _rows_within(self, now_s: int, window_s: int | None, step_s: int) -> int:
        """How many rows, from the newest, begin within a window."""
        if window_s is None:
            return self.table.rows
        unit_s = self.layout.unit_s
        newest_start = self.newest_s - self.newest_s % unit_s
        return bisect_right(self.ages, (newest_start - edge(window_s, step_s, now_s)) // unit_s)


def opened(layout: Layout, raw: bytes, edition: int) -> Served | None:
    """A field's values; None if it was written under another edition of the view."""
    return Served(layout, raw) if edition_in(raw, STAMP.size) == edition else None


def newest_s_of(raw: bytes, edition: int) -> int | None:
    """The second of a field's newest event; None if it was written under another edition of the view."""
    found, newest_s, _, _ = HEAD.unpack_from(raw, STAMP.size)
    return int(newest_s) if found == edition else None
