"""In which tile a moment belongs, and how tiles grow coarser as they age. Pure.

A moment belongs to the finest rung whose window could still show it, judged by the newest event less MAX_CLOCK_SKEW_S; a read
at any time from then on finds each window's window_start_s between two tiles. That depends on the newest event alone, and coarser
steps are multiples of finer ones, so it does not matter when a tile is coarsened or an event arrives.
"""

from bisect import bisect_left
from collections.abc import Sequence

from featurestore.definitions.windows import Resolution, window_start_s

MAX_CLOCK_SKEW_S = 300  # no question is asked for an earlier time than the newest event less this
LIFETIME_START_S = 0


def place(resolutions: Sequence[Resolution], moment_s: int, newest_s: int) -> int | None:
    """The start of the tile that a moment belongs to; None if it is older than the longest window."""
    judged_s = newest_s - MAX_CLOCK_SKEW_S
    for window_s, resolution_s in resolutions:
        if window_s is None:
            return LIFETIME_START_S
        start = moment_s - moment_s % resolution_s
        if start >= window_start_s(window_s, resolution_s, judged_s):
            return start
    return None


def edges(resolutions: Sequence[Resolution], newest_s: int) -> list[int]:
    """Before which start a tile is too old for each finite rung."""
    judged_s = newest_s - MAX_CLOCK_SKEW_S
    return [
        (at := judged_s - window_s) - at % resolution_s
        for window_s, resolution_s in resolutions
        if window_s is not None
    ]


def regrouped(
    starts: Sequence[int], resolutions: Sequence[Resolution], before_s: int, newest_s: int
) -> list[tuple[int | None, int, int]]:
    """What to do with sorted tiles, in place for an earlier newest event, at a later one: rows to merge or to drop.

    Each item is (start, first row, row after the last): those rows become the tile of that start, or none if it is
    None. In order of rows; rows that stay as they are may be left out.
    """
    was, now = edges(resolutions, before_s), edges(resolutions, newest_s)
    oldest, newest = starts[0], starts[-1]
    for old, new in zip(was, now, strict=True):
        if new > oldest and old <= newest and bisect_left(starts, old) < bisect_left(starts, new):
            break
    else:
        return []  # no window_start_s has passed a tile
    if bisect_left(starts, was[-1]) < bisect_left(starts, now[-1]):
        steady = 0
    else:  # of the coarsest rung, or of lifetime, and stays there
        steady = bisect_left(starts, was[-2]) if len(was) > 1 else len(starts)
    groups: list[tuple[int | None, int, int]] = []
    for row in range(max(steady - 1, 0), len(starts)):
        start = place(resolutions, starts[row], newest_s)
        if groups and groups[-1][0] == start:
            groups[-1] = (start, groups[-1][1], row + 1)
        else:
            groups.append((start, row, row + 1))
    return groups
