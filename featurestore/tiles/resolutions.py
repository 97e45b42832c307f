"""Rules of a tile's length: in which resolution an event's time is kept, and when tiles are coarsened. Pure.

Let t be the time of the newest counted event (of the view and purpose) less MAX_CLOCK_SKEW_S. An event is kept in the
tiles of the shortest window that still contains it at t; so a read at t or later never needs a part of a tile. The rule
depends on t alone, and coarser resolutions are multiples of finer ones: when a tile is coarsened, and in which order
events come, makes no difference.

>>> resolutions = (Resolution(window_s=60, resolution_s=1), Resolution(window_s=3_600, resolution_s=60))
>>> [tile_start(resolutions, time_s, newest_s=10_000) for time_s in (9_999, 9_640, 9_639, 6_059)]
[9999, 9640, 9600, None]
"""

from bisect import bisect_left
from collections.abc import Sequence

from featurestore.definitions.windows import Resolution, window_start_s

MAX_CLOCK_SKEW_S = 300
"""Tolerance of event times, for three uses: 1. an event's time is at most this far ahead of its Kafka timestamp, or the
event is a dead letter; 2. a read is for a time at most this far before the newest counted event, or the view is stale;
3. a view that is new to a partition covers events from this far ahead of the worker's clock.
"""
LIFETIME_START_S = 0


def tile_start(resolutions: Sequence[Resolution], time_s: int, newest_s: int) -> int | None:
    """The start of the tile that an event's time belongs to; None if it is older than the longest window."""
    earliest_read_s = newest_s - MAX_CLOCK_SKEW_S
    for window_s, resolution_s in resolutions:
        if window_s is None:
            return LIFETIME_START_S
        start = time_s - time_s % resolution_s
        if start >= window_start_s(window_s, resolution_s, earliest_read_s):
            return start
    return None


def oldest_starts(resolutions: Sequence[Resolution], newest_s: int) -> list[int]:
    """For each finite resolution, the start before which a tile is too old for it."""
    earliest_read_s = newest_s - MAX_CLOCK_SKEW_S
    return [
        (at := earliest_read_s - window_s) - at % length_s for window_s, length_s in resolutions if window_s is not None
    ]


def regroup(
    starts: Sequence[int], resolutions: Sequence[Resolution], before_s: int, newest_s: int
) -> list[tuple[int | None, int, int]]:
    """The rows to merge or drop of sorted tiles, when the newest counted event moves from ``before_s`` to ``newest_s``.

    Each item is (start, first row, row after the last): those rows become the tile of that start, or none if it is
    None. In order of rows; rows that stay as they are may be left out.
    """
    earlier, now = oldest_starts(resolutions, before_s), oldest_starts(resolutions, newest_s)
    oldest, newest = starts[0], starts[-1]
    for old, new in zip(earlier, now, strict=True):
        if new > oldest and old <= newest and bisect_left(starts, old) < bisect_left(starts, new):
            break
    else:
        return []  # no tile has become too old for its resolution
    if bisect_left(starts, earlier[-1]) < bisect_left(starts, now[-1]):
        unchanged = 0
    else:  # of the coarsest resolution, or of lifetime, and stays there
        unchanged = bisect_left(starts, earlier[-2]) if len(earlier) > 1 else len(starts)
    groups: list[tuple[int | None, int, int]] = []
    for row in range(max(unchanged - 1, 0), len(starts)):
        start = tile_start(resolutions, starts[row], newest_s)
        if groups and groups[-1][0] == start:
            groups[-1] = (start, groups[-1][1], row + 1)
        else:
            groups.append((start, row, row + 1))
    return groups
