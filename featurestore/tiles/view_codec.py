r"""Codec of one view's tiles: as a table keeps them, and as the suffix aggregates that the store serves. Pure.

A table keeps tiles as msgpack after their layout id: a fold reads and writes them at C's speed.

The store gets suffix aggregates. A suffix aggregate is the state of one tile and all newer ones, merged: any window is
then one bisect and one row. Their bytes, little-endian: the layout id (u32), the newest counted event's second (u32),
the number of rows (u16); flags (u8): 1 if the last row is lifetime's, 2 if there are cuts; the cuts, a u32 for each
finite level; the gaps between the starts of the other rows in steps of the finest resolution, as a column after its
encoding code; a packed table of the columns. The newest row comes first; it begins at the newest counted event's step,
floored.

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
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from struct import Struct
from typing import Any, NamedTuple

import msgspec

from featurestore.definitions.bounds import level_of
from featurestore.definitions.view import FeatureView
from featurestore.definitions.windows import levels_of
from featurestore.tiles import cell_codecs
from featurestore.tiles.cuts import CutRule
from featurestore.tiles.layout_id import LAYOUT_ID, layout_id_in
from featurestore.tiles.packed_table import PackedTable, pack_table
from featurestore.tiles.resolutions import (
    LIFETIME_START_S,
    NO_CUTS,
    Group,
    cuts_in_force,
    earliest_starts,
    regroup,
    regroup_from,
)
from featurestore.tiles.state_cells import StateCells, state_cells

AGGREGATES_HEADER = Struct("<IIHB")
LIFETIME_FLAG, CUTS_FLAG = 1, 2


class Tiles(msgspec.Struct, array_like=True):
    """Tiles of one subject and view, the oldest first. ``cells[c][r]`` is cell ``c`` of tile ``r``; blobs are bytes.

    ``newest_s`` is the second of the newest event that these tiles counted. ``cuts`` are those of the finite levels;
    none if no level has one.
    """

    newest_s: int
    starts: list[int]
    cells: list[list[Any]]
    cuts: list[int] = []


encode_tiles = msgspec.msgpack.Encoder().encode
decode_tiles = msgspec.msgpack.Decoder(Tiles).decode


class NewestEvent(msgspec.Struct, array_like=True):
    """Of tiles only when their newest event was."""

    newest_s: int


decode_newest = msgspec.msgpack.Decoder(NewestEvent).decode


def newest_event_s_of(raw: bytes) -> int:
    """The second of the newest event that the tiles which a table keeps counted."""
    return decode_newest(memoryview(raw)[LAYOUT_ID.size :]).newest_s


class EncodedTiles(NamedTuple):
    """Tiles as bytes: layout id and msgpack, as a table keeps them; suffix aggregates, as the store serves them."""

    tiles: bytes
    suffix_aggregates: bytes


class ViewCodec:
    """Codec of one view's tiles."""

    def __init__(self, view: FeatureView):
        self.view, self.levels = view, levels_of(view.resolutions)
        self.cuts_struct = Struct(f"<{sum(window_s is not None for window_s, _ in self.levels)}I")
        self.finest_s = view.resolutions[0].resolution_s or 1
        self.state_cells: list[StateCells] = []
        for view_aggregation in view.aggregations:
            last = self.state_cells[-1] if self.state_cells else None
            first, first_column = (last.end, last.end_column) if last else (0, 0)
            self.state_cells.append(state_cells(view_aggregation.aggregation, first, first_column))
        self.packers = [
            cell_codecs.PACKERS[cell] for states in self.state_cells for cell in states.aggregation.suffix_cells
        ]
        self.ending = list(self._ending_levels())
        self.keeping_newest = [states for states in self.state_cells if states.aggregation.keeps is not None]
        self.condenses = any(states.condenses for states in self.state_cells)
        self.cut_rule = CutRule(view, self.state_cells, self.levels)
        self.weighs = bool(self.cut_rule.weighed)
        self.read_resolutions = [(states, view.finest_resolution_s(i)) for i, states in enumerate(self.state_cells)]
        self.zeros = [zero for states in self.state_cells for zero in states.zeros]

    def _ending_levels(self) -> Iterator[tuple[StateCells, int]]:
        """The aggregations that are not read in the tiles of the last level, and the last in which they are."""
        for i, states in enumerate(self.state_cells):
            level = level_of(self.levels, self.view.longest_window_s(i))
            if level < len(self.levels) - 1:
                yield states, level

    def empty(self) -> Tiles:
        return Tiles(0, [], [[] for _ in self.zeros])

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
        if tiles.cuts:
            tiles.cuts = cuts_in_force(tiles.cuts, self.levels, tiles.newest_s)
            self._regroup(tiles, self._groups(tiles))
        elif groups := regroup(tiles.starts, self.levels, before_s, tiles.newest_s):
            self._regroup(tiles, groups)

    def _may_cut(self, size: int, tiles: Tiles) -> bool:
        return self.cut_rule.may_cut(size, tiles.starts, tiles.cells, tiles.newest_s, tiles.cuts)

    def cut(self, tiles: Tiles) -> bool:
        """Merge and drop tiles if a level has become heavier than it may be. Whether it has."""
        cuts = self.cut_rule.cuts(tiles.starts, tiles.cells, tiles.newest_s, tiles.cuts)
        if cuts == tiles.cuts:
            return False
        tiles.cuts = cuts
        self._regroup(tiles, self._groups(tiles))
        return True

    def _groups(self, tiles: Tiles) -> list[Group]:
        return regroup_from(0, tiles.starts, self.levels, earliest_starts(self.levels, tiles.newest_s, tiles.cuts))

    def _regroup(self, tiles: Tiles, groups: Sequence[Group]) -> None:
        for start, first, end in reversed(groups):
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
        """Tiles, at least one, as bytes; ``tiles`` are cut. Raises OverflowError for a number of more than 64 bits."""
        if len(tiles.starts) > 1:
            self._drop_unread(tiles)
        raw = encode_tiles(tiles)
        if self.weighs and self._may_cut(len(raw), tiles) and self.cut(tiles):
            self._drop_unread(tiles)
            raw = encode_tiles(tiles)
        return EncodedTiles(LAYOUT_ID.pack(layout_id) + raw, self._suffix_aggregates(layout_id, tiles))

    def _drop_unread(self, tiles: Tiles) -> None:
        """Make the states empty that no window reads."""
        if self.ending:
            earliest = earliest_starts(self.levels, tiles.newest_s, tiles.cuts)
            for states, level in self.ending:
                if rows := bisect_left(tiles.starts, earliest[level]):
                    states.clear(tiles.cells, rows)
        for states in self.keeping_newest:
            states.keep_newest(tiles.cells)

    def decode(self, raw: bytes) -> Tiles:
        """The tiles that a table keeps."""
        return decode_tiles(memoryview(raw)[LAYOUT_ID.size :])

    def suffix_aggregates(self, raw: bytes) -> bytes:
        """The suffix aggregates of the tiles that a table keeps."""
        return self._suffix_aggregates(layout_id_in(raw), self.decode(raw))

    def _only_row(self, cells: Sequence[list[Any]]) -> list[Sequence[Any]]:
        columns: list[Sequence[Any]] = []
        for states in self.state_cells:
            columns += states.condensed_row(cells) if states.condenses else cells[states.first : states.end]
        return columns

    def _suffix_aggregates(self, layout_id: int, tiles: Tiles) -> bytes:
        starts, rows, finest_s = tiles.starts, len(tiles.starts), self.finest_s
        lifetime = starts[0] == LIFETIME_START_S
        flags = (LIFETIME_FLAG if lifetime else 0) | (CUTS_FLAG if tiles.cuts else 0)
        header = AGGREGATES_HEADER.pack(layout_id, tiles.newest_s, rows, flags)
        if tiles.cuts:
            header += self.cuts_struct.pack(*tiles.cuts)
        if rows == 1:  # is its own suffix aggregate
            return header + pack_table(self.packers, self._only_row(tiles.cells) if self.condenses else tiles.cells)
        if rows - lifetime > 1:
            gaps = [(b - a) // finest_s for a, b in pairwise(starts[1:] if lifetime else starts)]
            gaps.reverse()
            code, packed = cell_codecs.pack(cell_codecs.pack_integers, gaps)
            header += code.encode() + packed
        newest_first = [cells[::-1] for cells in tiles.cells]
        columns: list[Sequence[Any]] = []
        ends: dict[int | None, list[int]] = {}
        few = rows < cell_codecs.MIN_ROWS_FOR_RUNS
        for states, resolution_s in self.read_resolutions:
            if few or resolution_s == finest_s or states.aggregation.growing:
                columns += states.suffix_aggregates(newest_first)
            else:
                if resolution_s not in ends:
                    ends[resolution_s] = read_rows(starts, resolution_s)
                columns += states.suffix_aggregates_at(newest_first, ends[resolution_s])
        return header + pack_table(self.packers, columns)

    def unpack_suffix_aggregates(self, raw: bytes, offset: int) -> tuple[int, Sequence[int], list[int], PackedTable]:
        """The newest counted event's second, the cuts, the ages of the rows in steps, the table; the newest row first.

        An age is counted from the newest row, in steps of the finest resolution; lifetime's row has none.
        """
        _, newest_s, rows, flags = AGGREGATES_HEADER.unpack_from(raw, offset)
        offset += AGGREGATES_HEADER.size
        lifetime, cuts = flags & LIFETIME_FLAG, NO_CUTS
        if flags & CUTS_FLAG:
            cuts = self.cuts_struct.unpack_from(raw, offset)
            offset += self.cuts_struct.size
        ages = [0] if rows > lifetime else []
        if rows - lifetime > 1:
            gaps, offset = cell_codecs.unpack(chr(raw[offset]), raw, offset + 1, rows - lifetime - 1)
            ages = list(accumulate(gaps, initial=0))
        return newest_s, cuts, ages, PackedTable(raw, offset, len(self.packers), rows)


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
