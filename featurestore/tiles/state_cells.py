"""Mapping of one aggregation's states to the cells of a view's tiles, and to the columns of the store. Pure.

A cell is a number, None, or bytes: of a wide integer, or of a *blob*, the msgpack of anything else. A blob is no bytes
where a zero state has that part. A state of one part has one cell; a state of several parts has one each.

>>> from featurestore.aggregations import Mean
>>> mean = state_cells(Mean("amount"), first=0, first_column=0)
>>> cells = [[2, 1, 5], [30, 7, 10]]  # number of events and their sum, of three tiles, the newest first
>>> mean.get(cells, row=1), mean.suffix_aggregates(cells)
([1, 7], [[2, 3, 8], [30, 37, 47]])
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, repeat
from typing import Any

import msgspec

from featurestore.aggregations.base import Aggregation, Cell, State
from featurestore.aggregations.wide import from_bytes, to_bytes
from featurestore.tiles.packed_table import PackedTable

Cells = Sequence[list[Any]]  # of a view: a list a cell, all with a row a tile
encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder().decode
NOTHING_READ: tuple[int, list[Any], Any] = (0, [], None)


class StateCells(ABC):
    """Cells of one aggregation: those from ``first`` up to ``end`` of a view's. ``zeros`` are the cells of no events.

    A suffix aggregate is the state of one tile and all newer ones, merged. The store has the parts of its suffix state,
    in the columns from ``first_column`` up to ``end_column``.
    """

    def __init__(self, aggregation: Aggregation, first: int, first_column: int):
        self.aggregation, self.first, self.first_column = aggregation, first, first_column
        self.end, self.end_column = first + len(aggregation.cells), first_column + len(aggregation.suffix_cells)
        self.zero = aggregation.zero()
        self.condenses = aggregation.suffix_cells != aggregation.cells

    @property
    @abstractmethod
    def zeros(self) -> Sequence[Any]: ...

    @abstractmethod
    def get(self, cells: Cells, row: int) -> State: ...

    @abstractmethod
    def put(self, cells: Cells, row: int, state: State) -> None: ...

    @abstractmethod
    def merged(self, cells: Cells) -> Iterable[State]:
        """For each row, the state of it and all before it."""

    @abstractmethod
    def suffix_aggregates(self, cells: Cells) -> Cells:
        """The columns of each row's suffix aggregate, from cells with the newest row first.

        States that grow when merged stay as they are, and are merged when read.
        """

    def suffix_aggregates_at(self, cells: Cells, rows: Sequence[int]) -> Cells:
        """The columns of the suffix aggregates of some rows, which ascend and may be there several times."""
        if self.condenses:
            merged, suffix_state = list(self.merged(cells)), self.aggregation.suffix_state
            states = {row: suffix_state(merged[row]) for row in set(rows)}
            return self.columns([states[row] for row in rows])
        return [[column[row] for row in rows] for column in self.suffix_aggregates(cells)]

    @abstractmethod
    def aggregate(self, table: PackedTable, rows: int) -> State:
        """The suffix state of the newest rows, from a table of suffix aggregates with the newest row first."""

    def is_zero(self, cells: Cells, row: int) -> bool:
        """Whether the state of a row is that of no events, for one whose first cell shows it."""
        return not cells[self.first][row]

    def merge(self, cells: Cells, first: int, end: int) -> None:
        """Merge the states of some rows into the first of them."""
        states = [self.get(cells, row) for row in range(first, end)]
        self.put(cells, first, self.aggregation.merge_all(states))

    def clear(self, cells: Cells, rows: int) -> None:
        """Make the states of the first rows empty."""
        for column, zero in zip(cells[self.first : self.end], self.zeros, strict=True):
            column[:rows] = [zero] * rows

    def keep_newest(self, cells: Cells) -> None:
        """Drop what the newest event makes unreadable, of states that keep it; the oldest row is the first.

        The first cell is None where there is no event.
        """
        column = cells[self.first]
        if len(column) - column.count(None) > 1:
            latest = len(column) - 1
            while column[latest] is None:
                latest -= 1
            self.clear(cells, latest)

    def repeated(self, cells: Cells) -> Cells:
        """The columns of states that keep the newest event: its row's, in every older one; the newest row is first."""
        own = cells[self.first : self.end]
        rows = len(own[0])
        latest = next((row for row, part in enumerate(own[0]) if part is not None), rows)
        return [column[:latest] + column[latest : latest + 1] * (rows - latest) for column in own]

    def condensed(self, cells: Cells) -> Cells:
        """The columns of the suffix states of each row and all before it."""
        return self.columns(list(map(self.aggregation.suffix_state, self.merged(cells))))

    def columns(self, states: list[State]) -> Cells:
        """The columns of suffix states."""
        return [states] if self.end_column - self.first_column == 1 else list(map(list, zip(*states, strict=True)))

    def condensed_row(self, cells: Cells) -> Cells:
        """The columns of the suffix state of the only row."""
        state = self.aggregation.suffix_state(self.get(cells, 0))
        return [[state]] if self.end_column - self.first_column == 1 else [[part] for part in state]

    def condensed_at(self, table: PackedTable, row: int) -> State:
        numbers = [table.number(column, row) for column in range(self.first_column, self.end_column)]
        return numbers[0] if len(numbers) == 1 else numbers


class NumberCell(StateCells):
    """Cell of a state that is one number."""

    def __init__(self, aggregation: Aggregation, first: int, first_column: int):
        super().__init__(aggregation, first, first_column)
        self.sums_up = aggregation.additive and not self.condenses

    @property
    def zeros(self) -> Sequence[Any]:
        return (self.zero,)

    def get(self, cells: Cells, row: int) -> State:
        return cells[self.first][row]

    def put(self, cells: Cells, row: int, state: State) -> None:
        cells[self.first][row] = state

    def merged(self, cells: Cells) -> Iterable[State]:
        values = cells[self.first]
        return accumulate(values) if self.aggregation.additive else accumulate(values, self.aggregation.merge)

    def suffix_aggregates(self, cells: Cells) -> Cells:
        if self.sums_up:
            return [list(accumulate(cells[self.first]))]
        if self.aggregation.keeps is not None:
            return self.repeated(cells)
        return self.condensed(cells) if self.condenses else [list(self.merged(cells))]

    def aggregate(self, table: PackedTable, rows: int) -> State:
        return table.number(self.first_column, rows - 1)


class WideCell(NumberCell):
    """Cell of a state that is one wide integer: its bytes."""

    @property
    def zeros(self) -> Sequence[Any]:
        return (to_bytes(self.zero),)

    def get(self, cells: Cells, row: int) -> State:
        return from_bytes(cells[self.first][row])

    def put(self, cells: Cells, row: int, state: State) -> None:
        cells[self.first][row] = to_bytes(state)

    def merged(self, cells: Cells) -> Iterable[State]:
        values = map(from_bytes, cells[self.first])
        return accumulate(values) if self.aggregation.additive else accumulate(values, self.aggregation.merge)


class BlobCell(StateCells):
    """Cell of a state that is one blob."""

    def __init__(self, aggregation: Aggregation, first: int, first_column: int):
        super().__init__(aggregation, first, first_column)
        self.zero_raw = encode(self.zero)

    @property
    def zeros(self) -> Sequence[Any]:
        return (b"",)

    def get(self, cells: Cells, row: int) -> State:
        raw = cells[self.first][row]
        return decode(raw) if raw else self.zero

    def put(self, cells: Cells, row: int, state: State) -> None:
        raw = encode(state)
        cells[self.first][row] = b"" if raw == self.zero_raw else raw

    def keep_newest(self, cells: Cells) -> None:
        left, column = self.aggregation.keeps, cells[self.first]
        assert left is not None
        for row in range(len(column) - 1, -1, -1):
            if raw := column[row]:
                state = decode(raw)
                kept, number = self.aggregation.newest(state, left)
                if kept is not state:
                    self.put(cells, row, kept)
                left -= number

    def merged(self, cells: Cells) -> Iterable[State]:
        return accumulate(map(self.get, repeat(cells), range(len(cells[self.first]))), self.aggregation.merge)

    def suffix_aggregates(self, cells: Cells) -> Cells:
        if self.aggregation.growing:
            return [cells[self.first]]
        return [list(map(encode, self.merged(cells)))]

    def aggregate(self, table: PackedTable, rows: int) -> State:
        if not self.aggregation.growing:
            raw = table.column(self.first_column)[rows - 1]
            return decode(raw) if raw else self.zero  # a single tile's state may be zero
        known, states, combined = table.decoded.get(self.first_column, NOTHING_READ)
        if known != rows:
            if known > rows:
                known, states = 0, []
            states = states + [decode(raw) for raw in table.column(self.first_column)[known:rows] if raw]
            combined = self.aggregation.combine(states)
            table.decoded[self.first_column] = rows, states, combined
        return combined


class CompositeCells(StateCells):
    """Cells of a state of several parts."""

    def __init__(self, aggregation: Aggregation, first: int, first_column: int):
        super().__init__(aggregation, first, first_column)
        self.kinds = aggregation.cells
        self.converters = [(i, *CONVERTERS[kind]) for i, kind in enumerate(self.kinds) if kind in CONVERTERS]

    @property
    def zeros(self) -> Sequence[Any]:
        return self.encoded(self.zero)

    def encoded(self, state: State) -> Sequence[Any]:
        """One row of cells."""
        cells = list(state)
        for i, encoder, _ in self.converters:
            cells[i] = encoder(cells[i])
        return cells

    def decoded(self, row: list[Any]) -> State:
        """The state in one row of cells, which become it."""
        for i, _, decoder in self.converters:
            row[i] = decoder(row[i])
        return row

    def is_zero(self, cells: Cells, row: int) -> bool:
        return cells[self.first][row] is None

    def get(self, cells: Cells, row: int) -> State:
        return self.decoded([column[row] for column in cells[self.first : self.end]])

    def put(self, cells: Cells, row: int, state: State) -> None:
        for column, part in zip(cells[self.first : self.end], self.encoded(state), strict=True):
            column[row] = part

    def merged(self, cells: Cells) -> Iterable[State]:
        own: list[Any] = list(cells[self.first : self.end])
        for i, _, decoder in self.converters:
            own[i] = map(decoder, own[i])
        if self.aggregation.additive:
            return zip(*map(accumulate, own), strict=True)
        return accumulate(zip(*own, strict=True), self.aggregation.merge)

    def suffix_aggregates(self, cells: Cells) -> Cells:
        if self.condenses:
            return self.condensed(cells)
        own = cells[self.first : self.end]
        if self.aggregation.additive:
            return [list(accumulate(column)) for column in own]
        if self.aggregation.keeps is not None:
            return self.repeated(cells)
        if not self.converters:
            return list(map(list, zip(*self.merged(cells), strict=True)))
        return list(map(list, zip(*map(self.encoded, self.merged(cells)), strict=True)))

    def aggregate(self, table: PackedTable, rows: int) -> State:
        if self.condenses:
            return self.condensed_at(table, rows - 1)
        return self.decoded(
            [
                table.column(at)[rows - 1] if kind is Cell.BLOB else table.number(at, rows - 1)
                for at, kind in enumerate(self.kinds, self.first_column)
            ]
        )


def encode_part(part: Any) -> bytes:
    """The blob of a part of a state."""
    return b"" if part is None else encode(part)


def decode_part(raw: bytes) -> Any:
    """The part of a state in a blob."""
    return decode(raw) if raw else None


CONVERTERS: dict[Cell, tuple[Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    Cell.WIDE: (to_bytes, from_bytes),
    Cell.BLOB: (encode_part, decode_part),
}
"""From a part to its cell, and back. A part of another kind is its own cell."""


def state_cells(aggregation: Aggregation, first: int, first_column: int) -> StateCells:
    """The cells of an aggregation's states, the first of them a view's cell ``first`` and column ``first_column``."""
    if len(aggregation.cells) > 1:
        return CompositeCells(aggregation, first, first_column)
    kind = {Cell.BLOB: BlobCell, Cell.WIDE: WideCell}.get(aggregation.cells[0], NumberCell)
    return kind(aggregation, first, first_column)
