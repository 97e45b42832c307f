"""How the tiles of one view lie: a list of starts, and one list a cell of its aggregations' states. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise
from struct import Struct
from typing import Any, NamedTuple

from featurestore.aggregations.base import Cell
from featurestore.definitions.view import FeatureView
from featurestore.tiles import columns
from featurestore.tiles.ladder import LIFETIME_START_S, regrouped
from featurestore.tiles.states import States, states_of

HEAD = Struct("<IIHB")
LIKE = "="
MOST_ROWS = (1 << 16) - 1


class Tiles:
    """A subject's tiles of one view, the oldest first. ``cells[c][r]`` is cell ``c`` of tile ``r``; blobs are bytes."""

    __slots__ = ("cells", "newest_s", "starts")

    def __init__(self, newest_s: int, starts: list[int], cells: list[list[Any]]):
        self.newest_s, self.starts, self.cells = newest_s, starts, cells


class Packed(NamedTuple):
    """Tiles as bytes: as a table keeps them, and as the store serves them."""

    tiles: bytes
    totals: bytes


class Layout:
    """One view's way to hold tiles and to write tables of their cells.

    The bytes, little-endian: HEAD (edition u32, newest event s u32, rows u16, lifetime row u8), the form of each column
    (featurestore.tiles.columns), then the columns: the gaps between the rows' starts in steps of the finest rung, the
    newest first and without the lifetime row, and every cell's. The newest row begins where the newest event lies. A
    cell's column that is like an earlier one's has the form = and holds that one's number. Tiles are kept the oldest
    first; what is served are their running totals, the newest first (featurestore.tiles.served).
    """

    def __init__(self, view: FeatureView):
        self.view, self.ladder = view, view.ladder
        self.unit_s = view.ladder[0].step_s or 1
        self.states: list[States] = []
        for column in view.columns:
            self.states.append(states_of(column.aggregation, self.states[-1].end if self.states else 0))
        self.cells: list[Cell] = [cell for states in self.states for cell in states.aggregation.cells]
        finite = [feature for feature in view.features if feature.window_s is not None]
        steps = [min([f.step_s for f in finite if f.column == i], default=None) for i in range(len(self.states))]
        self.steps = list(zip(self.states, steps, strict=True))  # of each aggregation's shortest window; None: lifetime
        self.zeros = [zero for states in self.states for zero in states.zeros]

    def empty(self) -> Tiles:
        return Tiles(0, [], [[] for _ in self.cells])

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
        for place, first, end in reversed(regrouped(tiles.starts, self.ladder, before_s, tiles.newest_s)):
            if place is not None:
                tiles.starts[first] = place
                if end - first == 1:
                    continue
                for states in self.states:
                    states.merge(tiles.cells, first, end)
                first += 1
            for cells in (tiles.starts, *tiles.cells):
                del cells[first:end]

    def pack(self, edition: int, tiles: Tiles) -> "Packed":
        """Tiles, at least one, as bytes. Raises OverflowError."""
        starts, rows = tiles.starts, len(tiles.starts)
        if rows > MOST_ROWS:
            raise OverflowError(f"view {self.view.name}: {rows} tiles of one subject")
        lifetime = starts[0] == LIFETIME_START_S and self.ladder[-1].window_s is None
        unit_s = self.unit_s
        gaps = [(b - a) // unit_s for a, b in pairwise(starts[1:] if lifetime else starts)]
        head, dates = HEAD.pack(edition, tiles.newest_s, rows, lifetime), list[tuple[str, bytes]]()
        if gaps:
            gaps.reverse()
            dates.append(columns.pack(Cell.INT, gaps))
        newest_first = [cells[::-1] for cells in tiles.cells]
        running: list[Sequence[Any]] = []
        for states, step_s in self.steps:
            totals = states.running(newest_first)
            if rows >= columns.RUNS_FROM and step_s != unit_s and not states.aggregation.growing:
                ends = step_ends(starts, step_s)
                totals = [[cells[end] for end in ends] for cells in totals]
            running += totals
        return Packed(*[self._table(head, dates, cells) for cells in (tiles.cells, running)])

    def _table(self, head: bytes, dates: Sequence[tuple[str, bytes]], cells: Sequence[Sequence[Any]]) -> bytes:
        forms, raws = [form for form, _ in dates], [raw for _, raw in dates]
        there: dict[bytes, int] = {}
        for number, (cell, values) in enumerate(zip(self.cells, cells, strict=True)):
            form, raw = columns.pack(cell, values)
            if len(raw) > 1 and number < 256 and (earlier := there.setdefault(form.encode() + raw, number)) < number:
                form, raw = LIKE, bytes([earlier])
            forms.append(form)
            raws.append(raw)
        return b"".join((head, "".join(forms).encode(), *raws))

    def open(self, raw: bytes) -> Tiles:
        """The tiles that ``pack`` wrote."""
        newest_s, rows, lifetime, ages, forms, at = self.opened(raw, 0)
        newest_start = newest_s - newest_s % self.unit_s
        starts = [newest_start - age * self.unit_s for age in reversed(ages)]
        cells: list[list[Any]] = []
        for form in forms:
            if form == LIKE:
                cells.append(cells[raw[at]].copy())
                at += 1
            else:
                values, at = columns.unpack(form, raw, at, rows)
                cells.append(values)
        return Tiles(newest_s, [LIFETIME_START_S, *starts] if lifetime else starts, cells)

    def opened(self, raw: bytes, at: int) -> tuple[int, int, int, list[int], str, int]:
        """Of a table from ``at``: newest event s, rows, lifetime rows, the other rows' ages in steps, the newest first,
        the forms of the cells' columns, and where these begin.
        """
        _, newest_s, rows, lifetime = HEAD.unpack_from(raw, at)
        at += HEAD.size
        gaps = rows - lifetime - 1
        forms = raw[at : at + len(self.cells) + (gaps > 0)].decode()
        at += len(forms)
        if gaps < 0:
            return newest_s, rows, lifetime, [], forms, at
        if gaps == 0:
            return newest_s, rows, lifetime, [0], forms, at
        found, at = columns.unpack(forms[0], raw, at, gaps)
        return newest_s, rows, lifetime, list(accumulate(found, initial=0)), forms[1:], at


def step_ends(starts: Sequence[int], step_s: int | None) -> list[int]:
    """For each row, the newest first, the last row of the same step: no window of such steps ends between the two.

    Running totals are only ever read there, and become runs that take no room.
    """
    last = len(starts) - 1
    if step_s is None:
        return [last] * len(starts)
    ends = [last]
    for row in range(1, len(starts)):
        ends.append(ends[-1] if starts[row] // step_s == starts[row - 1] // step_s else last - row)
    ends.reverse()
    return ends


def edition_in(raw: bytes, at: int = 0) -> int:
    """The edition under which a table was written."""
    return int.from_bytes(raw[at : at + 4], "little")
