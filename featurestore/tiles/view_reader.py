"""Reader of a stored field: the values of a view's features at a time, over their windows. Pure.

A window is one bisect in the ages of the rows and one row of suffix aggregates (featurestore.tiles.view_codec),
whatever its length. States that grow when merged are stored a tile each and merged here.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any

from featurestore.aggregations.base import State
from featurestore.definitions.view import Feature
from featurestore.definitions.windows import MAX_CLOCK_SKEW_S, window_start_s
from featurestore.tiles.layout_id import layout_id_in
from featurestore.tiles.packed_table import PackedTable
from featurestore.tiles.stored_field import VALUES_START
from featurestore.tiles.view_codec import AGGREGATES_HEADER, ViewCodec

Aggregate = Callable[[PackedTable, int], State]
Finish = Callable[[State, int], Any]


class ReaderClockBehind(ValueError):
    """Query for a time more than MAX_CLOCK_SKEW_S before the newest counted event: coarsened tiles lack the start of
    its windows. As queries are for now, the reader's clock is behind.
    """


class WindowQuery:
    """Features of a view, prepared for reading: what is the same for every subject is looked up once."""

    def __init__(self, codec: ViewCodec, features: Iterable[Feature]):
        self.windows: list[tuple[int | None, int]] = []
        self.features: list[tuple[str, int, Aggregate, Finish, Any, Any]] = []
        for name, aggregation_index, window_s, resolution_s, default, _ in features:
            if (window_s, resolution_s) not in self.windows:
                self.windows.append((window_s, resolution_s))
            states = codec.state_cells[aggregation_index]
            finish, empty = states.aggregation.finish, states.aggregation.empty
            window = self.windows.index((window_s, resolution_s))
            self.features.append((name, window, states.aggregate, finish, empty, default))


class ViewReader:
    """Reader of one subject's values of one view, from a stored field."""

    def __init__(self, codec: ViewCodec, raw: bytes):
        self.codec = codec
        self.newest_s, self.cuts, self.ages, self.table = codec.unpack_suffix_aggregates(raw, VALUES_START)

    def values(self, query: WindowQuery, now_ms: int) -> dict[str, Any]:
        """Each feature's value at a time; its default where nothing was counted. Raises ReaderClockBehind."""
        now_s = now_ms // 1000
        if now_s < self.newest_s - MAX_CLOCK_SKEW_S:
            raise ReaderClockBehind(f"view {self.codec.view.name} has events of more than 5 minutes after that time")
        rows = [self._rows_within(now_s, window_s, resolution_s) for window_s, resolution_s in query.windows]
        answer, table = {}, self.table
        for name, window, aggregate, finish, empty, default in query.features:
            if count := rows[window]:
                value = finish(aggregate(table, count), now_ms)
                answer[name] = default if value == empty else value
            else:
                answer[name] = default
        return answer

    def complete_since_s(self, at_s: int) -> int:
        """The second since when every event is in every window that reaches so far; 0 if no cut is within a window."""
        if not self.cuts:
            return 0
        cut_of = {level.resolution_s: cut_s for level, cut_s in zip(self.codec.levels, self.cuts, strict=False)}
        within = [0]
        for window_s, resolution_s in self.codec.view.resolutions:
            if window_s is not None and window_start_s(window_s, resolution_s, at_s) < cut_of[resolution_s]:
                within.append(cut_of[resolution_s])
        return max(within)

    def _rows_within(self, now_s: int, window_s: int | None, resolution_s: int) -> int:
        """The number of rows, from the newest, that begin within a window."""
        if window_s is None:
            return self.table.rows
        finest_s = self.codec.finest_s
        newest_start = self.newest_s - self.newest_s % finest_s
        return bisect_right(self.ages, (newest_start - window_start_s(window_s, resolution_s, now_s)) // finest_s)


def open_view(codec: ViewCodec, raw: bytes, layout_id: int) -> ViewReader | None:
    """The reader of a stored field; None if the field has another layout id."""
    return ViewReader(codec, raw) if layout_id_in(raw, VALUES_START) == layout_id else None


def newest_event_s(raw: bytes, layout_id: int) -> int | None:
    """The second of the newest counted event in a stored field; None if the field has another layout id."""
    found, newest_s, _, _ = AGGREGATES_HEADER.unpack_from(raw, VALUES_START)
    return int(newest_s) if found == layout_id else None
