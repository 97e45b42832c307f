r"""Codec of one view's tiles: as a table keeps them, and as the suffix aggregates that the store serves. Pure.

A table keeps tiles as msgpack after their layout id: a fold reads and writes them at C's speed.

The store gets suffix aggregates. A suffix aggregate is the state of one tile and all newer ones, merged: any window is
then one bisect and one row. Their bytes, little-endian: the layout id (u32), the newest counted event's second (u32),
the number of rows (u16), 1 if the last row is lifetime's (u8); the gaps between the starts of the other rows in steps
of the finest resolution, as a column after its encoding code; a packed table of the cells. The newest row comes first;
it begins at the newest counted event's step, floored.

>>> from featurestore.aggregations import Count
>>> from featurestore.definitions import EventSource, FeatureView
>>> source = EventSource("visits", data=msgspec.defstruct("Visit", [("shop", str)]), type="visit")
>>> codec = ViewCodec(FeatureView("visits", source=source, purposes={"p"}, features=[Count().over("5m")]))
>>> tiles = Tiles(newest_s=131, starts=[100, 110, 130], cells=[[2, 1, 4]])  # 2, 1 and 4 events; a step is 5 s
>>> raw = codec.encode(9, tiles).suffix_aggregates
>>> raw[AGGREGATES_HEADER.size :]  # gaps of 4 and 2 steps; 4 events since 130, 5 since 110, 7 since 100
b'b\x04\x02b\x04\x05\x07'
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise
from struct import Struct
from typing import Any, NamedTuple

import msgspec

from featurestore.definitions.view import FeatureView
from featurestore.tiles import cell_codecs
from featurestore.tiles.layout_id import LAYOUT_ID, layout_id_in
from featurestore.tiles.packed_table import PackedTable, pack_table
from featurestore.tiles.resolutions import LIFETIME_START_S, regroup
from featurestore.tiles.state_cells import StateCells, state_cells

AGGREGATES_HEADER = Struct("<IIHB")
MAX_ROWS = (1 << 16) - 1


class Tiles(msgspec.Struct, array_like=True):
    """Tiles of one subject and view, the oldest first. ``cells[c][r]`` is cell ``c`` of tile ``r``; blobs are bytes.

    ``newest_s`` is the second of the newest event that these tiles counted.
    """

    newest_s: int
    starts: list[int]
    cells: list[list[Any]]


encode_tiles = msgspec.msgpack.Encoder().encode
decode_tiles = msgspec.msgpack.Decoder(Tiles).decode


class EncodedTiles(NamedTuple):
    """Tiles as bytes: layout id and msgpack, as a table keeps them; suffix aggregates, as the store serves them."""

    tiles: bytes
    suffix_aggregates: bytes


class ViewCodec:
    """Codec of one view's tiles."""

    def __init__(self, view: FeatureView):
        self.view, self.resolutions = view, view.resolutions
        self.finest_s = view.resolutions[0].resolution_s or 1
        self.state_cells: list[StateCells] = []
        for view_aggregation in view.aggregations:
            first = self.state_cells[-1].end if self.state_cells else 0
            self.state_cells.append(state_cells(view_aggregation.aggregation, first))
        self.packers = [cell_codecs.PACKERS[cell] for states in self.state_cells for cell in states.aggregation.cells]
        self.read_resolutions = [(states, view.finest_resolution_s(i)) for i, states in enumerate(self.state_cells)]
        self.zeros = [zero for states in self.state_cells for zero in states.zeros]

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
        """Merge and drop tiles when the newest counted event has moved from ``before_s`` to ``tiles.newest_s``."""
        for start, first, end in reversed(regroup(tiles.starts, self.resolutions, before_s, tiles.newest_s)):
            if start is not None:
                tiles.starts[first] = start
                if end - first == 1:
                    continue
                for states in self.state_cells:
                    states.merge(tiles.cells, first, end)
                first += 1
            for cells in (tiles.starts, *tiles.cells):
                del cells[first:end]

    def encode(self, layout_id: int, tiles: Tiles) -> EncodedTiles:
        """Tiles, at least one, as bytes. Raises OverflowError for a number of more than 64 bits."""
        return EncodedTiles(LAYOUT_ID.pack(layout_id) + encode_tiles(tiles), self._suffix_aggregates(layout_id, tiles))

    def decode(self, raw: bytes) -> Tiles:
        """The tiles that a table keeps."""
        return decode_tiles(memoryview(raw)[LAYOUT_ID.size :])

    def suffix_aggregates(self, raw: bytes) -> bytes:
        """The suffix aggregates of the tiles that a table keeps."""
        return self._suffix_aggregates(layout_id_in(raw), self.decode(raw))

    def _suffix_aggregates(self, layout_id: int, tiles: Tiles) -> bytes:
        starts, rows, finest_s = tiles.starts, len(tiles.starts), self.finest_s
        if rows > MAX_ROWS:
            raise OverflowError(f"view {self.view.name}: {rows} tiles of one subject")
        lifetime = starts[0] == LIFETIME_START_S and self.resolutions[-1].window_s is None
        header = AGGREGATES_HEADER.pack(layout_id, tiles.newest_s, rows, lifetime)
        if rows == 1:  # is its own suffix aggregate
            return header + pack_table(self.packers, tiles.cells)
        if rows - lifetime > 1:
            gaps = [(b - a) // finest_s for a, b in pairwise(starts[1:] if lifetime else starts)]
            gaps.reverse()
            code, packed = cell_codecs.pack(cell_codecs.pack_integers, gaps)
            header += code.encode() + packed
        newest_first = [cells[::-1] for cells in tiles.cells]
        columns: list[Sequence[Any]] = []
        ends: dict[int | None, list[int]] = {}
        for states, resolution_s in self.read_resolutions:
            aggregates = states.suffix_aggregates(newest_first)
            coarser = resolution_s != finest_s and not states.aggregation.growing
            if rows >= cell_codecs.MIN_ROWS_FOR_RUNS and coarser:
                if resolution_s not in ends:
                    ends[resolution_s] = read_rows(starts, resolution_s)
                aggregates = [[cells[end] for end in ends[resolution_s]] for cells in aggregates]
            columns += aggregates
        return header + pack_table(self.packers, columns)

    def unpack_suffix_aggregates(self, raw: bytes, offset: int) -> tuple[int, list[int], PackedTable]:
        """The newest counted event's second, the ages of the rows in steps, the table of cells; the newest row first.

        An age is counted from the newest row, in steps of the finest resolution; lifetime's row has none.
        """
        _, newest_s, rows, lifetime = AGGREGATES_HEADER.unpack_from(raw, offset)
        offset += AGGREGATES_HEADER.size
        ages = [0] if rows > lifetime else []
        if rows - lifetime > 1:
            gaps, offset = cell_codecs.unpack(chr(raw[offset]), raw, offset + 1, rows - lifetime - 1)
            ages = list(accumulate(gaps, initial=0))
        return newest_s, ages, PackedTable(raw, offset, len(self.packers), rows)


def read_rows(starts: Sequence[int], resolution_s: int | None) -> list[int]:
    """For each row, the newest first: the row that a window of this resolution reads in its place. None: lifetime.

    A window begins at a multiple of its resolution. So of the rows within one step only the last, the oldest, is read;
    the others repeat its aggregates, which packs as runs.
    """
    last = len(starts) - 1
    if resolution_s is None:
        return [last] * len(starts)
    ends = [last]
    for row in range(1, len(starts)):
        same_step = starts[row] // resolution_s == starts[row - 1] // resolution_s
        ends.append(ends[-1] if same_step else last - row)
    ends.reverse()
    return ends
