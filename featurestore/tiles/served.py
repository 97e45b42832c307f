"""What the store holds of a view: laid out for one reader. Pure.

A field is *suffix rows*: for each tile, newest first, the states of that tile and every newer one, merged. A window is
then one bisect and one row, whatever its length. States that grow when merged stay per tile and are merged at reading.

Layout, little-endian as are all machines that this runs on: STAMP (generation u32, offset u64, grant u32; the store's
scripts compare it), HEAD (edition u32, newest event s u32, start of the newest tile s u32, rows u16, lifetime row u8),
one code a stored column (its width: ``b h i q`` for integers whose least value stands for None, ``d`` for floats with
NaN for None, ``B H I`` for indexes into the pool), the ages of the rows in steps of the finest rung, the rows, and the
pool of distinct msgpack values.
"""

import math
import struct
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from itertools import accumulate, starmap
from typing import Any, Literal, NamedTuple, cast

import msgspec

from featurestore.aggregations.base import Aggregation, Cell
from featurestore.definitions.view import Feature, FeatureView
from featurestore.definitions.windows import edge
from featurestore.tiles.ladder import LIFETIME_START_S, SLACK_S
from featurestore.tiles.state import ViewState

STAMP = struct.Struct("<IQI")
HEAD = struct.Struct("<IIIHB")
CODES_AT = STAMP.size + HEAD.size
SIGNED = (("b", 1 << 7), ("h", 1 << 15), ("i", 1 << 31), ("q", 1 << 63))
UNSIGNED = (("B", 1 << 8), ("H", 1 << 16), ("I", 1 << 32))


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


class ServedLayout:
    """One view's way to pack and read its fields."""

    def __init__(self, view: FeatureView):
        self.view = view
        self.aggregations = [column.aggregation for column in view.columns]
        self.cells = [cell for aggregation in self.aggregations for cell in aggregation.cells]
        self.spans: list[tuple[int, int]] = []  # of each column's cells in a row
        for aggregation in self.aggregations:
            start = self.spans[-1][1] if self.spans else 0
            self.spans.append((start, start + len(aggregation.cells)))
        self.unit_s = view.ladder[0].step_s or 1

    def pack(self, state: ViewState, generation: int, offset: int) -> bytes:
        """The field of a state that has at least one tile, folded up to an offset."""
        return STAMP.pack(generation, offset, state.grant) + self.body(state)

    def body(self, state: ViewState) -> bytes:
        """The field without its stamp: the same for twins, states alike but for their grant."""
        starts, *states = zip(*reversed(state.tiles), strict=True)
        newest_start, rows = starts[0], len(starts)
        lifetime = self.view.ladder[-1].window_s is None and starts[-1] == LIFETIME_START_S
        ages = [(newest_start - start) // self.unit_s for start in starts[: rows - lifetime]]
        pool: dict[bytes, int] = {}
        codes, columns = [_narrowest(ages[-1] if ages else 0, UNSIGNED)], list[Sequence[Any]]()
        for aggregation, column in zip(self.aggregations, states, strict=True):
            totals = _totals(aggregation, column)
            for cell, values in zip(
                aggregation.cells, zip(*totals, strict=True) if len(aggregation.cells) > 1 else [totals], strict=True
            ):
                code, stored = _column(cell, values, pool)
                codes.append(code)
                columns.append(stored)
        row = _row("".join(codes))
        return b"".join(
            (
                HEAD.pack(state.edition, state.newest_ms // 1000, newest_start, rows, lifetime),
                "".join(codes).encode(),
                struct.pack(f"<{len(ages)}{codes[0]}", *ages),
                *starmap(row.pack, zip(*columns, strict=True)),
                _array_header(len(pool)) + b"".join(pool),
            )
        )

    def open(self, raw: bytes, edition: int) -> "Served | None":
        """The field's values; None if it was packed under another edition of the view."""
        packed, newest_s, base_s, rows, lifetime = HEAD.unpack_from(raw, STAMP.size)
        return Served(self, raw, newest_s, base_s, rows, lifetime) if packed == edition else None


class Served:
    """One subject's packed values of one view, opened for reading."""

    def __init__(self, layout: ServedLayout, raw: bytes, newest_s: int, base_s: int, rows: int, lifetime: int):
        self.layout, self.raw, self.newest_s, self.base_s, self.rows = layout, raw, newest_s, base_s, rows
        codes = raw[CODES_AT : CODES_AT + len(layout.cells) + 1].decode()
        ages_at = CODES_AT + len(codes)
        self.rows_at = ages_at + (rows - lifetime) * struct.calcsize(codes[0])
        ages = memoryview(raw)[ages_at : self.rows_at]
        self.ages = ages.cast(cast(Literal["B", "H", "I"], codes[0])) if ages else ages
        self.codes, self.row = codes, _row(codes)
        self._pool: list[Any] | None = None

    def values(self, features: Iterable[Feature], now_ms: int) -> dict[str, Any]:
        """Each feature's value at a time; its default where nothing was counted.

        Raises QuestionTooEarly before the newest event less five minutes.
        """
        now_s = now_ms // 1000
        if now_s < self.newest_s - SLACK_S:
            raise QuestionTooEarly(f"view {self.layout.view.name} has events of more than 5 minutes after that time")
        ends: dict[int | None, int] = {}
        cells: dict[int, tuple[Any, ...]] = {}
        answer = {}
        for name, column, window_s, step_s, default, _ in features:
            if (end := ends.get(window_s)) is None:
                end = ends[window_s] = self._rows_within(now_s, window_s, step_s)
            if not end:
                answer[name] = default
                continue
            if end not in cells:
                cells[end] = self.row.unpack_from(self.raw, self.rows_at + (end - 1) * self.row.size)
            aggregation = self.layout.aggregations[column]
            state = self._state(column, cells[end], end)
            value = aggregation.finish(state, now_ms)
            answer[name] = default if value == aggregation.empty else value
        return answer

    def _rows_within(self, now_s: int, window_s: int | None, step_s: int) -> int:
        """How many rows, from the newest, begin within a window."""
        if window_s is None:
            return self.rows
        oldest = (self.base_s - edge(window_s, step_s, now_s)) // self.layout.unit_s
        return bisect_right(self.ages, oldest)

    def _state(self, column: int, cells: tuple[Any, ...], end: int) -> Any:
        aggregation, (first, last) = self.layout.aggregations[column], self.layout.spans[column]
        if aggregation.growing:
            return self._merged(column, first, end)
        parts = [self._cell(i, cells[i]) for i in range(first, last)]
        return parts[0] if len(parts) == 1 else parts

    def _cell(self, i: int, value: Any) -> Any:
        cell = self.layout.cells[i]
        if cell is Cell.BLOB:
            return self.pool[value]
        return None if value == _null(self.codes[i + 1]) or value != value else value

    def _merged(self, column: int, cell: int, end: int) -> Any:
        indexes = [self.row.unpack_from(self.raw, self.rows_at + i * self.row.size)[cell] for i in range(end)]
        return self.layout.aggregations[column].combine([self.pool[index] for index in indexes])

    @property
    def pool(self) -> list[Any]:
        if self._pool is None:
            self._pool = msgspec.msgpack.decode(memoryview(self.raw)[self.rows_at + self.rows * self.row.size :])
        return self._pool


@lru_cache(maxsize=4_096)  # as many as the data has widths
def _row(codes: str) -> struct.Struct:
    """A row's struct; the first code is that of the ages."""
    return struct.Struct("<" + codes[1:])


def _totals(aggregation: Aggregation, newest_first: Sequence[Any]) -> Sequence[Any]:
    """Each row's state: merged from the newest tile up to this one, or this one's own if states grow."""
    if aggregation.growing:
        return newest_first
    if aggregation.additive:
        return list(accumulate(newest_first))
    merge = aggregation.merge
    return list(accumulate(newest_first, lambda total, state: merge(state, total)))


def _column(cell: Cell, values: Sequence[Any], pool: dict[bytes, int]) -> tuple[str, Sequence[Any]]:
    """The code of a column that holds some values, and how it holds them."""
    if cell is Cell.BLOB:
        indexes = [pool.setdefault(msgspec.msgpack.encode(value), len(pool)) for value in values]
        return _narrowest(max(indexes), UNSIGNED), indexes
    if cell is Cell.FLOAT:
        return "d", [math.nan if value is None else value for value in values] if None in values else values
    if None not in values:
        return _narrowest(max(max(values), -min(values)), SIGNED), values
    code = _narrowest(max((abs(value) for value in values if value is not None), default=0), SIGNED)
    null = _null(code)
    return code, [null if value is None else value for value in values]


def _narrowest(largest: int, codes: Iterable[tuple[str, int]]) -> str:
    return next(code for code, limit in codes if largest < limit)


@cache
def _null(code: str) -> float | None:
    """What stands for None in a column of this code."""
    return math.nan if code == "d" else next((-limit for signed, limit in SIGNED if signed == code), None)


def _array_header(length: int) -> bytes:
    """msgpack's header of an array whose encoded items follow."""
    if length < 16:
        return bytes([0x90 | length])
    return b"\xdc" + length.to_bytes(2, "big") if length < 1 << 16 else b"\xdd" + length.to_bytes(4, "big")
