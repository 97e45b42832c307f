"""What the store holds of a view: laid out for one reader. Pure.

A field is STAMP (generation u32, offset u64, grant u32; the store's scripts compare it) and a table of *running totals*
(featurestore.tiles.layout): for each tile, newest first, the states of that tile and every newer one, merged. A window
is then one bisect and one row, whatever its length. States that grow when merged stay per tile and are merged when
read.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, NamedTuple

from featurestore.definitions.view import Feature
from featurestore.definitions.windows import edge
from featurestore.tiles.ladder import SLACK_S
from featurestore.tiles.layout import Layout, edition_in

STAMP = struct.Struct("<IQI")


class QuestionTooEarly(ValueError):
    """Asked for a time before the newest event less five minutes, where coarsened tiles no longer have the edge."""


class Stamp(NamedTuple):
    """Where a field's values come from: what fences its writes and ties it to a grant."""

    generation: int
    offset: int
    grant: int


def stamp_of(raw: bytes) -> Stamp:
    """The stamp of a packed field."""
    return Stamp(*STAMP.unpack_from(raw))


class Served:
    """One subject's values of one view, opened for reading from a field."""

    def __init__(self, layout: Layout, raw: bytes):
        self.layout = layout
        self.newest_s, self.ages, self.table = layout.parts(raw, STAMP.size)

    def values(self, features: Iterable[Feature], now_ms: int) -> dict[str, Any]:
        """Each feature's value at a time; its default where nothing was counted.

        Raises QuestionTooEarly before the newest event less five minutes.
        """
        now_s = now_ms // 1000
        if now_s < self.newest_s - SLACK_S:
            raise QuestionTooEarly(f"view {self.layout.view.name} has events of more than 5 minutes after that time")
        ends: dict[int | None, int] = {}
        answer = {}
        for name, column, window_s, step_s, default, _ in features:
            if (end := ends.get(window_s)) is None:
                end = ends[window_s] = self._rows_within(now_s, window_s, step_s)
            if not end:
                answer[name] = default
                continue
            states = self.layout.states[column]
            value = states.aggregation.finish(states.total(self.table, end), now_ms)
            answer[name] = default if value == states.aggregation.empty else value
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
