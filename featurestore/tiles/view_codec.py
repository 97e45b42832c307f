"""How the tiles of one view lie: a list of starts, and one list a cell of its aggregations' states. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise
from struct import Struct
from typing import Any, NamedTuple

import msgspec

from featurestore.definitions.view import FeatureView
from featurestore.tiles import cell_codecs, packed_table
from featurestore.tiles.packed_table import Table
from featurestore.tiles.resolutions import LIFETIME_START_S, regrouped
from featurestore.tiles.state_cells import States, states_of

LAYOUT_ID = Struct("<I")
HEAD = Struct("<IIHB")
MOST_ROWS = (1 << 16) - 1


class Tiles(msgspec.Struct, array_like=True):
    """A subject's tiles of one view, the oldest first. ``cells[c][r]`` is cell ``c`` of tile ``r``; blobs are bytes."""

    newest_s: int
    starts: list[int]
    cells: list[list[Any]]


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Tiles).decode


class PackedTiles(NamedTuple):
    """Tiles as bytes: as a table keeps them, and as the store serves them."""

    tiles: bytes
    totals: bytes


class ViewCodec:
    """One view's way to hold tiles, and to write and read them.

    A table keeps the layout_id (u32) and the tiles as msgpack, which is read and written at C's speed. The store serves
    running totals, the newest first (featurestore.tiles.view_reader). Their bytes, little-endian: HEAD (layout_id u32, newest
    event s u32, rows u16, lifetime row u8); if there are any, the gaps between the rows' starts in steps of the finest
    rung, without the lifetime row, as a column behind its form; and a table of the cells. The newest row begins where
    the newest event lies.
    """

    def __init__(self, view: FeatureView):
        self.view, self.resolutions = view, view.resolutions
        self.unit_s = view.resolutions[0].resolution_s or 1
        self.states: list[States] = []
        for column in view.columns:
            self.states.append(states_of(column.aggregation, self.states[-1].end if self.states else 0))
        self.packers = [cell_codecs.PACKERS[cell] for states in self.states for cell in states.aggregation.cells]
        self.steps = [(states, view.finest_resolution_s(i)) for i, states in enumerate(self.states)]
        self.zeros = [zero for states in self.states for zero in states.zeros]

    def empty(self) -> Tiles:
        return Tiles(0, [], [[] for _ in self.packers])

    def row(self, tiles: Tiles, start: int) -> int:
        """The row of the tile that begins at ``start``, made if it is not there."""
        starts = tiles.starts
        if starts and starts[-1] == start:
            return len(starts) - 1
        row = bisect_left(starts, start)
        if row == len(starts) or starts[row] != start:
            starts.insert(row, start)
            for cells, zero in zip(tiles.cells, self.zeros, strict=True):
                cells.insert(row, zero)
        return row

    def coarsen(self, tiles: Tiles, before_s: int) -> None:
        """Bring tiles that were in place for an earlier newest event to where they belong now."""
        for place, first, end in reversed(regrouped(tiles.starts, self.resolutions, before_s, tiles.newest_s)):
            if place is not None:
                tiles.starts[first] = place
                if end - first == 1:
                    continue
                for states in self.states:
                    states.merge(tiles.cells, first, end)
                first += 1
            for cells in (tiles.starts, *tiles.cells):
                del cells[first:end]

    def pack(self, layout_id: int, tiles: Tiles) -> PackedTiles:
        """Tiles, at least one, as bytes. Raises OverflowError for a number of more than 64 bits."""
        return PackedTiles(LAYOUT_ID.pack(layout_id) + encode(tiles), self._totals(layout_id, tiles))

    def open(self, raw: bytes) -> Tiles:
        """The tiles that a table keeps."""
        return decode(memoryview(raw)[LAYOUT_ID.size :])

    def totals(self, raw: bytes) -> bytes:
        """What the store serves of the tiles that a table keeps."""
        return self._totals(layout_id_in(raw), self.open(raw))

    def _totals(self, layout_id: int, tiles: Tiles) -> bytes:
        starts, rows, unit_s = tiles.starts, len(tiles.starts), self.unit_s
        if rows > MOST_ROWS:
            raise OverflowError(f"view {self.view.name}: {rows} tiles of one subject")
        lifetime = starts[0] == LIFETIME_START_S and self.resolutions[-1].window_s is None
        head = HEAD.pack(layout_id, tiles.newest_s, rows, lifetime)
        if rows == 1:  # is its own total
            return head + packed_table.write(self.packers, tiles.cells)
        if rows - lifetime > 1:
            gaps = [(b - a) // unit_s for a, b in pairwise(starts[1:] if lifetime else starts)]
            gaps.reverse()
            form, packed = cell_codecs.pack(cell_codecs.integers, gaps)
            head += form.encode() + packed
        newest_first = [cells[::-1] for cells in tiles.cells]
        running: list[Sequence[Any]] = []
        ends: dict[int | None, list[int]] = {}
        for states, resolution_s in self.steps:
            totals = states.running(newest_first)
            if rows >= cell_codecs.RUNS_FROM and resolution_s != unit_s and not states.aggregation.growing:
                if resolution_s not in ends:
                    ends[resolution_s] = step_ends(starts, resolution_s)
                totals = [[cells[end] for end in ends[resolution_s]] for cells in totals]
            running += totals
        return head + packed_table.write(self.packers, running)

    def parts(self, raw: bytes, at: int) -> tuple[int, list[int], Table]:
        """Of totals from ``at``: newest event s, the rows' ages in steps, the newest first, and the table of cells."""
        _, newest_s, rows, lifetime = HEAD.unpack_from(raw, at)
        at += HEAD.size
        ages = [0] if rows > lifetime else []
        if rows - lifetime > 1:
            gaps, at = cell_codecs.unpack(chr(raw[at]), raw, at + 1, rows - lifetime - 1)
            ages = list(accumulate(gaps, initial=0))
        return newest_s, ages, Table(raw, at, len(self.packers), rows)


def step_ends(starts: Sequence[int], resolution_s: int | None) -> list[int]:
    """For each row, the newest first, the last row of the same step: no window of such steps ends between the two.

    Running totals are only ever read there, and become runs that take no room.
    """
    last = len(starts) - 1
    if resolution_s is None:
        return [last] * len(starts)
    ends = [last]
    for row in range(1, len(starts)):
        ends.append(ends[-1] if starts[row] // resolution_s == starts[row - 1] // resolution_s else last - row)
    ends.reverse()
    return ends


def layout_id_in(raw: bytes, at: int = 0) -> int:
    """The layout_id under which tiles or totals were written."""
    return int(LAYOUT_ID.unpack_from(raw, at)[0])
