"""Rules of a tile's length: in which resolution an event's time is kept, and when tiles are coarsened. Pure.

Let t be the time of the newest counted event (of the view and purpose) less MAX_CLOCK_SKEW_S. An event is kept in the
tiles of the shortest window that still contains it at t; so a read at t or later never needs a part of a tile. The rule
depends on t alone, and coarser resolutions are multiples of finer ones: when a tile is coarsened, and in which order
events come, makes no difference. ``levels`` are the view's (``levels_of``), the finest first.

A *cut* of a level is a time before which events belong to the next level already, because they are too many
(featurestore.tiles.cuts). ``cuts`` has one for each finite level, 0 where there is none; it is empty without any.

>>> levels = (Resolution(window_s=60, resolution_s=1), Resolution(window_s=3_600, resolution_s=60))
>>> [tile_start(levels, time_s, newest_s=10_000) for time_s in (9_999, 9_640, 9_639, 6_059)]
[9999, 9640, 9600, None]
>>> [tile_start(levels, time_s, newest_s=10_000, cuts=[9_999, 0]) for time_s in (9_999, 9_998)]
[9999, 9960]
"""

from bisect import bisect_left
from collections.abc import Sequence

from featurestore.definitions.windows import MAX_CLOCK_SKEW_S, Resolution

LIFETIME_START_S = -1  # before every other tile
NO_CUTS: Sequence[int] = ()

Group = tuple[int | None, int, int]
"""Rows to merge, or to drop: (start of their tile, or None; first row; row after the last)."""


def tile_start(levels: Sequence[Resolution], time_s: int, newest_s: int, cuts: Sequence[int] = NO_CUTS) -> int | None:
    """The start of the tile that an event's time belongs to; None if it is older than the last finite level."""
    if cuts:
        return _tile_start(levels, earliest_starts(levels, newest_s, cuts), time_s)
    earliest_read_s = newest_s - MAX_CLOCK_SKEW_S
    for window_s, resolution_s in levels:  # as below; the first level is often the right one
        if window_s is None:
            return LIFETIME_START_S
        start = time_s - time_s % resolution_s
        if start >= (at := earliest_read_s - window_s) - at % resolution_s:
            return start
    return None


def _tile_start(levels: Sequence[Resolution], earliest: Sequence[int], time_s: int) -> int | None:
    for (_, resolution_s), earliest_start in zip(levels, earliest, strict=False):
        start = time_s - time_s % resolution_s
        if start >= earliest_start:
            return start
    return LIFETIME_START_S if levels[-1].window_s is None else None


def earliest_starts(levels: Sequence[Resolution], newest_s: int, cuts: Sequence[int] = NO_CUTS) -> list[int]:
    """For each finite level, the start before which a tile is too old for it, or belongs to the next by a cut."""
    earliest_read_s = newest_s - MAX_CLOCK_SKEW_S
    found = [
        (at := earliest_read_s - window_s) - at % length_s for window_s, length_s in levels if window_s is not None
    ]
    return list(map(max, found, cuts)) if cuts else found


def regroup(starts: Sequence[int], levels: Sequence[Resolution], before_s: int, newest_s: int) -> list[Group]:
    """The rows to merge or drop of sorted tiles, when the newest counted event moves from ``before_s`` to ``newest_s``.

    In order of rows; rows that stay as they are may be left out. For tiles without cuts.
    """
    oldest, newest = starts[0], starts[-1]
    for window_s, length_s in levels:
        if window_s is None:
            return []
        new = (at := newest_s - MAX_CLOCK_SKEW_S - window_s) - at % length_s
        if new <= oldest:
            continue
        old = (at := before_s - MAX_CLOCK_SKEW_S - window_s) - at % length_s
        if old < new and old <= newest and bisect_left(starts, old) < bisect_left(starts, new):
            break
    else:
        return []  # no tile has become too old for its resolution
    earlier, now = earliest_starts(levels, before_s), earliest_starts(levels, newest_s)
    if bisect_left(starts, earlier[-1]) < bisect_left(starts, now[-1]):
        unchanged = 0
    else:  # of the coarsest resolution, or of lifetime, and stays there
        unchanged = bisect_left(starts, earlier[-2]) if len(earlier) > 1 else len(starts)
    return regroup_from(max(unchanged - 1, 0), starts, levels, now)


def regroup_from(row: int, starts: Sequence[int], levels: Sequence[Resolution], earliest: Sequence[int]) -> list[Group]:
    """The rows to merge, to drop or to leave, from one of sorted tiles on; ``earliest`` as of ``earliest_starts``."""
    groups: list[Group] = []
    before: int | None = -2  # no tile's start
    for at in range(row, len(starts)):
        start = _tile_start(levels, earliest, starts[at])
        if start == before:
            groups[-1] = (start, groups[-1][1], at + 1)
        else:
            groups.append((start, at, at + 1))
            before = start
    return groups


def cuts_in_force(cuts: Sequence[int], levels: Sequence[Resolution], newest_s: int) -> list[int]:
    """The cuts that are later than what their level loses to the next by its age; none if no one is."""
    found = [
        cut_s if cut_s > start else 0 for cut_s, start in zip(cuts, earliest_starts(levels, newest_s), strict=True)
    ]
    return found if any(found) else []
