"""Bounds of stored state: what a view's tiles may take at most, by its definition. Pure.

Whatever events a subject has, an aggregation's state in one tile takes at most STATE_BYTES, a view of a subject and
purpose VIEW_BYTES, and a state record RECORD_BYTES. Bytes are those of a table; the store's are fewer.

- The number of tiles follows from the windows. An aggregation's state is empty in the tiles of windows longer than
  those that it is read over.
- Most states have a fixed size at most, so their bytes follow from the number of tiles. A definition whose tiles could
  take more is refused.
- *Weighed* states (top values, different values, quantiles, sessions, first texts) are of very different sizes. They
  share what the others leave of VIEW_BYTES, each resolution an equal part (``level_bytes``). Tiles beyond it are merged
  into those of the next resolution early (featurestore.tiles.cuts).
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, zip_longest
from typing import NamedTuple

from featurestore.aggregations.base import STATE_BYTES, Aggregation, Cell
from featurestore.definitions.windows import MAX_CLOCK_SKEW_S, Resolution, levels_of, resolution_of

VIEW_BYTES = 64 * 1024
RECORD_BYTES = 512 * 1024
START_BYTES = 5  # of a tile's start as msgpack
EMPTY_BYTES = {Cell.INT: 1, Cell.FLOAT: 1, Cell.WIDE: 2, Cell.BLOB: 2}  # of a cell of no events
HEADER_BYTES = 32
COLUMN_BYTES = 3


class Bounded(NamedTuple):
    """Aggregation of a view, the most bytes of a value of its field, and its longest window (None: lifetime)."""

    aggregation: Aggregation
    value_bytes: int
    longest_s: int | None


class ViewBounds(NamedTuple):
    """Bounds of a view in bytes. ``level_bytes``: of the weighed states of one level; 0 if it has none."""

    view_bytes: int
    level_bytes: int


def view_bounds(aggregations: Iterable[Bounded], resolutions: Sequence[Resolution]) -> ViewBounds:
    """The bounds of a view. Raises ValueError for one whose states have no bound or could take more than they may."""
    levels = levels_of(resolutions)
    tiles = list(accumulate(most_tiles(levels)))
    fixed_bytes = HEADER_BYTES + START_BYTES * tiles[-1]
    weighed_bytes = [0] * len(levels)  # of the weighed states in one tile, by level
    for bounded in aggregations:
        aggregation = bounded.aggregation
        last = level_of(levels, bounded.longest_s)
        empty_bytes = sum(EMPTY_BYTES[cell] for cell in aggregation.cells)
        most_bytes = [_state_bytes(bounded, level) for level in levels[: last + 1]]
        fixed_bytes += COLUMN_BYTES * len(aggregation.cells) + empty_bytes * tiles[-1]
        if aggregation.weighed:
            weighed_bytes = [sum(pair) for pair in zip_longest(weighed_bytes, most_bytes, fillvalue=0)]
        elif aggregation.keeps is not None:
            fixed_bytes += max(most_bytes)
        else:
            fixed_bytes += (max(most_bytes) - empty_bytes) * tiles[last]
    finite_levels = sum(level.window_s is not None for level in levels)
    fixed_bytes += sum(weighed_bytes[finite_levels:])
    tile_bytes = max(weighed_bytes[:finite_levels], default=0)
    if fixed_bytes + tile_bytes * finite_levels > VIEW_BYTES:
        raise ValueError(
            f"{tiles[-1]} tiles of a customer may take {fixed_bytes + tile_bytes * finite_levels:,} bytes, "
            f"at most {VIEW_BYTES:,}: make two views of it, or take fewer windows"
        )
    if not tile_bytes:
        return ViewBounds(fixed_bytes, 0)
    return ViewBounds(VIEW_BYTES, (VIEW_BYTES - fixed_bytes) // finite_levels)


def most_tiles(levels: Sequence[Resolution]) -> Iterator[int]:
    """The largest number of tiles of each level."""
    newer_s = -MAX_CLOCK_SKEW_S
    for window_s, resolution_s in levels:
        if window_s is None:
            yield 1
        else:
            yield (window_s - newer_s) // resolution_s + 2
            newer_s = window_s


def level_of(levels: Sequence[Resolution], window_s: int | None) -> int:
    """The index of the level whose tiles serve a window."""
    return next(i for i, level in enumerate(levels) if level.resolution_s == resolution_of(window_s))


def _state_bytes(bounded: Bounded, level: Resolution) -> int:
    aggregation, value_bytes, _ = bounded
    most_bytes = aggregation.most_bytes(level.resolution_s or None, value_bytes)
    what = f"{aggregation.name} of {aggregation.field}" if aggregation.field else aggregation.name
    if most_bytes is None:
        raise ValueError(f"{what} has no bound over lifetime: take windows of up to 400 days")
    if most_bytes > STATE_BYTES:
        raise ValueError(
            f"{what}: one state may take {most_bytes:,} bytes, at most {STATE_BYTES:,}: "
            "give the field a smaller max_length, or take fewer values, shorter windows or a longer gap"
        )
    return most_bytes
