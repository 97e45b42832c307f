"""What the store holds of a view: laid out for one reader. Pure.

A field is FENCING_HEADER (generation u32, offset u64, grant u32; the store's scripts compare it) and a table of *running totals*
(featurestore.tiles.view_codec): for each tile, newest first, the states of that tile and every newer one, merged. A window
is then one bisect and one row, whatever its length. States that grow when merged stay per tile and are merged when
read.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any

from featurestore.aggregations.base import State
from featurestore.definitions.view import Feature
from featurestore.definitions.windows import window_start_s
from featurestore.tiles.packed_table import Table
from featurestore.tiles.resolutions import MAX_CLOCK_SKEW_S
from featurestore.tiles.stored_field import VALUES_START
from featurestore.tiles.view_codec import HEAD, ViewCodec, layout_id_in

Total = Callable[[Table, int], State]
Finish = Callable[[State, int], Any]


class QueryTooEarly(ValueError):
    """WindowQuery for a time before the newest event less five minutes, where coarsened tiles no longer have the window_start_s."""


class WindowQuery:
    """Features of a view, ready to be read: whatever is the same for every customer is looked up once."""

    def __init__(self, codec: ViewCodec, features: Iterable[Feature]):
        self.windows: list[tuple[int | None, int]] = []
        self.features: list[tuple[str, int, Total, Finish, Any, Any]] = []
        for name, column, window_s, resolution_s, default, _ in features:
            if (window_s, resolution_s) not in self.windows:
                self.windows.append((window_s, resolution_s))
            states = codec.states[column]
            finish, empty = states.aggregation.finish, states.aggregation.empty
            place = self.windows.index((window_s, resolution_s))
            self.features.append((name, place, states.total, finish, empty, default))


class ViewReader:
    """One subject's values of one view, open_view for reading from a field."""

    def __init__(self, codec: ViewCodec, raw: bytes):
        self.codec = codec
        self.newest_s, self.ages, self.table = codec.parts(raw, VALUES_START)

    def values(self, asked: WindowQuery, now_ms: int) -> dict[str, Any]:
        """Each feature's value at a time; its default where nothing was counted.

        Raises QueryTooEarly before the newest event less five minutes.
        """
        now_s = now_ms // 1000
        if now_s < self.newest_s - MAX_CLOCK_SKEW_S:
            raise QueryTooEarly(f"view {self.codec.view.name} has events of more than 5 minutes after that time")
        ends = [self._rows_within(now_s, window_s, resolution_s) for window_s, resolution_s in asked.windows]
        answer, table = {}, self.table
        for name, window, total, finish, empty, default in asked.features:
            if end := ends[window]:
                value = finish(total(table, end), now_ms)
                answer[name] = default if value == empty else value
            else:
                answer[name] = default
        return answer

    def _rows_within(self, now_s: int, window_s: int | None, resolution_s: int) -> int:
        """How many rows, from the newest, begin within a window."""
        if window_s is None:
            return self.table.rows
        unit_s = self.codec.unit_s
        newest_start = self.newest_s - self.newest_s % unit_s
        return bisect_right(self.ages, (newest_start - window_start_s(window_s, resolution_s, now_s)) // unit_s)


def open_view(codec: ViewCodec, raw: bytes, layout_id: int) -> ViewReader | None:
    """A field's values; None if it was written under another layout_id of the view."""
    return ViewReader(codec, raw) if layout_id_in(raw, VALUES_START) == layout_id else None


def newest_event_s(raw: bytes, layout_id: int) -> int | None:
    """The second of a field's newest event; None if it was written under another layout_id of the view."""
    found, newest_s, _, _ = HEAD.unpack_from(raw, VALUES_START)
    return int(newest_s) if found == layout_id else None
