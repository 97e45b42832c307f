"""Mapping of one aggregation's states to the cells of a view's tiles. Pure.

A cell is a number, None, or a blob: the msgpack of anything else, and no bytes where a zero state has that part. A
state of one part has one cell; a state of several parts has one each.

>>> from featurestore.aggregations import Mean
>>> mean = state_cells(Mean("amount"), first=0)
>>> cells = [[2, 1, 5], [30, 7, 10]]  # number of events and their sum, of three tiles, the newest first
>>> mean.get(cells, row=1), mean.suffix_aggregates(cells)
([1, 7], [[2, 3, 8], [30, 37, 47]])
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import accumulate, repeat
from typing import Any

import msgspec

from featurestore.aggregations.base import Aggregation, Cell, State
from featurestore.tiles.packed_table import PackedTable

Cells = Sequence[list[Any]]  # of a view: a list a cell, all with a row a tile
encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder().decode


class StateCells(ABC):
    """Cells of one aggregation: those from ``first`` up to ``end`` of a view's. ``zeros`` are the cells of no events.

    A suffix aggregate is the state of one tile and all newer ones, merged.
    """

    def __init__(self, aggregation: Aggregation, first: int):
        self.aggregation, self.first = aggregation, first
        self.end = first + len(aggregation.cells)
        self.zero = aggregation.zero()

    @property
    @abstractmethod
    def zeros(self) -> Sequence[Any]: ...

    @abstractmethod
    def get(self, cells: Cells, row: int) -> State: ...

    @abstractmethod
    def put(self, cells: Cells, row: int, state: State) -> None: ...

    @abstractmethod
    def suffix_aggregates(self, cells: Cells) -> Cells:
        """The cells of each row's suffix aggregate, from cells with the newest row first.

        States that grow when merged stay as they are, and are merged when read.
        """

    @abstractmethod
    def aggregate(self, table: PackedTable, rows: int) -> State:
        """The state of the newest rows, from a table of suffix aggregates with the newest row first."""

    def merge(self, cells: Cells, first: int, end: int) -> None:
        """Merge the states of some rows into the first of them."""
        states = (self.get(cells, row) for row in range(first, end))
        self.put(cells, first, reduce(self.aggregation.merge, states))

    def merged(self, cells: Cells) -> Iterable[State]:
        """For each row, the state of it and all before it."""
        return accumulate(map(self.get, repeat(cells), range(len(cells[self.first]))), self.aggregation.merge)


class NumberCell(StateCells):
    """Cell of a state that is one number."""

    @property
    def zeros(self) -> Sequence[Any]:
        return (self.zero,)

    def get(self, cells: Cells, row: int) -> State:
        return cells[self.first][row]

    def put(self, cells: Cells, row: int, state: State) -> None:
        cells[self.first][row] = state

    def suffix_aggregates(self, cells: Cells) -> Cells:
        values = cells[self.first]
        return [list(accumulate(values) if self.aggregation.additive else accumulate(values, self.aggregation.merge))]

    def aggregate(self, table: PackedTable, rows: int) -> State:
        return table.number(self.first, rows - 1)


class BlobCell(StateCells):
    """Cell of a state that is one blob."""

    def __init__(self, aggregation: Aggregation, first: int):
        super().__init__(aggregation, first)
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

    def suffix_aggregates(self, cells: Cells) -> Cells:
        if self.aggregation.growing:
            return [self._until_full(cells) if self.aggregation.fills else cells[self.first]]
        return [list(map(encode, self.merged(cells)))]

    def _until_full(self, cells: Cells) -> list[bytes]:
        """The states up to the row where the merged state is full: every window begins with the newest row."""
        column, merged = cells[self.first], self.zero
        for row, raw in enumerate(column):
            if self.aggregation.full(merged):
                return [*column[:row], *repeat(b"", len(column) - row)]
            if raw:
                merged = self.aggregation.merge(merged, decode(raw))
        return column

    def aggregate(self, table: PackedTable, rows: int) -> State:
        if not self.aggregation.growing:
            raw = table.column(self.first)[rows - 1]
            return decode(raw) if raw else self.zero  # a single tile's state may be zero
        return self.aggregation.combine([decode(raw) for raw in table.column(self.first)[:rows] if raw])


class CompositeCells(StateCells):
    """Cells of a state of several parts."""

    def __init__(self, aggregation: Aggregation, first: int):
        super().__init__(aggregation, first)
        self.blobs = [cell is Cell.BLOB for cell in aggregation.cells]

    @property
    def zeros(self) -> Sequence[Any]:
        return self.encoded(self.zero)

    def encoded(self, state: State) -> list[Any]:
        """One row of cells."""
        return [
            (b"" if part is None else encode(part)) if blob else part
            for part, blob in zip(state, self.blobs, strict=True)
        ]

    def decoded(self, row: Iterable[Any]) -> State:
        """The state in one row of cells."""
        return [(decode(part) if part else None) if blob else part for part, blob in zip(row, self.blobs, strict=True)]

    def get(self, cells: Cells, row: int) -> State:
        return self.decoded([column[row] for column in cells[self.first : self.end]])

    def put(self, cells: Cells, row: int, state: State) -> None:
        for column, part in zip(cells[self.first : self.end], self.encoded(state), strict=True):
            column[row] = part

    def suffix_aggregates(self, cells: Cells) -> Cells:
        own = cells[self.first : self.end]
        if self.aggregation.additive:
            return [list(accumulate(column)) for column in own]
        if any(self.blobs):
            return list(map(list, zip(*map(self.encoded, self.merged(cells)), strict=True)))
        return list(map(list, zip(*accumulate(zip(*own, strict=True), self.aggregation.merge), strict=True)))

    def aggregate(self, table: PackedTable, rows: int) -> State:
        blobs = enumerate(self.blobs, self.first)
        return self.decoded([table.column(at)[rows - 1] if blob else table.number(at, rows - 1) for at, blob in blobs])


def state_cells(aggregation: Aggregation, first: int) -> StateCells:
    """The cells of an aggregation's states, the first of them a view's cell ``first``."""
    if len(aggregation.cells) > 1:
        return CompositeCells(aggregation, first)
    return (BlobCell if aggregation.cells[0] is Cell.BLOB else NumberCell)(aggregation, first)
