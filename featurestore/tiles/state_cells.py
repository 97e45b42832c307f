"""How the states of one aggregation lie in the cells of a view's tiles. Pure.

A cell holds a number, None, or a blob: the msgpack of anything else, and no bytes for what a zero state has there.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import accumulate, repeat
from typing import Any

import msgspec

from featurestore.aggregations.base import Aggregation, Cell, State
from featurestore.tiles.packed_table import Table

Cells = Sequence[list[Any]]  # of a view: a list a cell, all of the same length
encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder().decode


class States(ABC):
    """One aggregation's cells: those from ``first`` up to ``end``. ``zeros`` are the cells of no events."""

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
    def running(self, cells: Cells) -> Cells:
        """The cells of the running totals: of each row's state and all before it, merged."""

    @abstractmethod
    def total(self, table: Table, rows: int) -> State:
        """The state of a number of rows, from a table of running totals."""

    def merge(self, cells: Cells, first: int, end: int) -> None:
        """Merge the states of some rows into the first of them."""
        states = (self.get(cells, row) for row in range(first, end))
        self.put(cells, first, reduce(self.aggregation.merge, states))

    def totals(self, cells: Cells) -> Iterable[State]:
        return accumulate(map(self.get, repeat(cells), range(len(cells[self.first]))), self.aggregation.merge)


class Number(States):
    """A state that is one number."""

    @property
    def zeros(self) -> Sequence[Any]:
        return (self.zero,)

    def get(self, cells: Cells, row: int) -> State:
        return cells[self.first][row]

    def put(self, cells: Cells, row: int, state: State) -> None:
        cells[self.first][row] = state

    def running(self, cells: Cells) -> Cells:
        values = cells[self.first]
        return [list(accumulate(values) if self.aggregation.additive else accumulate(values, self.aggregation.merge))]

    def total(self, table: Table, rows: int) -> State:
        return table.number(self.first, rows - 1)


class Blob(States):
    """A state that is one blob. Running totals of those that grow stay apart, and are merged when read."""

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

    def running(self, cells: Cells) -> Cells:
        if self.aggregation.growing:
            return [self._until_full(cells) if self.aggregation.fills else cells[self.first]]
        return [list(map(encode, self.totals(cells)))]

    def _until_full(self, cells: Cells) -> list[bytes]:
        """The states that count: every window begins with the newest."""
        column, total = cells[self.first], self.zero
        for row, raw in enumerate(column):
            if self.aggregation.full(total):
                return [*column[:row], *repeat(b"", len(column) - row)]
            if raw:
                total = self.aggregation.merge(total, decode(raw))
        return column

    def total(self, table: Table, rows: int) -> State:
        if not self.aggregation.growing:
            raw = table.column(self.first)[rows - 1]
            return decode(raw) if raw else self.zero  # a single tile is its own total
        return self.aggregation.combine([decode(raw) for raw in table.column(self.first)[:rows] if raw])


class Several(States):
    """A state of several cells."""

    def __init__(self, aggregation: Aggregation, first: int):
        super().__init__(aggregation, first)
        self.blobs = [cell is Cell.BLOB for cell in aggregation.cells]

    @property
    def zeros(self) -> Sequence[Any]:
        return self.stored(self.zero)

    def stored(self, state: State) -> list[Any]:
        return [
            (b"" if part is None else encode(part)) if blob else part
            for part, blob in zip(state, self.blobs, strict=True)
        ]

    def state(self, stored: Iterable[Any]) -> State:
        return [
            (decode(part) if part else None) if blob else part for part, blob in zip(stored, self.blobs, strict=True)
        ]

    def get(self, cells: Cells, row: int) -> State:
        return self.state([column[row] for column in cells[self.first : self.end]])

    def put(self, cells: Cells, row: int, state: State) -> None:
        for column, part in zip(cells[self.first : self.end], self.stored(state), strict=True):
            column[row] = part

    def running(self, cells: Cells) -> Cells:
        own = cells[self.first : self.end]
        if self.aggregation.additive:
            return [list(accumulate(column)) for column in own]
        if any(self.blobs):
            return list(map(list, zip(*map(self.stored, self.totals(cells)), strict=True)))
        return list(map(list, zip(*accumulate(zip(*own, strict=True), self.aggregation.merge), strict=True)))

    def total(self, table: Table, rows: int) -> State:
        cells = enumerate(self.blobs, self.first)
        return self.state([table.column(at)[rows - 1] if blob else table.number(at, rows - 1) for at, blob in cells])


def states_of(aggregation: Aggregation, first: int) -> States:
    """How an aggregation's states lie in the cells from ``first``."""
    if len(aggregation.cells) > 1:
        return Several(aggregation, first)
    return (Blob if aggregation.cells[0] is Cell.BLOB else Number)(aggregation, first)
