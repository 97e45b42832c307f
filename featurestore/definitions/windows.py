"""Windows of features, and the resolutions of the tiles that serve them. Pure.

A window's resolution is the largest of RESOLUTIONS_S that is at most 1/60 of the window. Each of RESOLUTIONS_S divides
the next, so a tile is within one tile of any coarser resolution.

>>> resolutions_of([window_seconds("1h"), window_seconds("lifetime"), window_seconds("1m")])[:2]
(Resolution(window_s=60, resolution_s=1), Resolution(window_s=3600, resolution_s=60))
"""

from collections.abc import Iterable
from typing import NamedTuple

from featurestore.aggregations.duration import seconds

LIFETIME = "lifetime"
SHORTEST_S = 60
LONGEST_S = 400 * 86_400
MAX_CLOCK_SKEW_S = 300
"""Tolerance of event times, for three uses: 1. an event's time is at most this far ahead of its Kafka timestamp, or the
event is a dead letter; 2. a read is for a time at most this far before the newest counted event, or the view is stale;
3. a view that is new to a partition covers events from this far ahead of the worker's clock.
"""
RESOLUTIONS_S = (1, 5, 15, 60, 300, 900, 3_600, 7_200, 21_600, 43_200, 86_400)


class Resolution(NamedTuple):
    """Length of the tiles that serve a window; ``window_s`` None is lifetime, whose one tile starts at 0."""

    window_s: int | None
    resolution_s: int


def window_seconds(text: str) -> int | None:
    """Seconds of a window such as "15m"; None for "lifetime". Raises ValueError with what is allowed."""
    if text == LIFETIME:
        return None
    window_s = seconds(text)
    if not SHORTEST_S <= window_s <= LONGEST_S:
        raise ValueError(f'window "{text}" is impossible: take 1 minute to 400 days ("1m" to "400d"), or "lifetime"')
    return window_s


def resolution_of(window_s: int | None) -> int:
    """The length of a window's tiles, in seconds; 0 for lifetime."""
    return 0 if window_s is None else max(length_s for length_s in RESOLUTIONS_S if length_s <= window_s / 60)


def window_start_s(window_s: int, resolution_s: int, at_s: int) -> int:
    """The first second of a window at a time. A tile is in the window if it begins then or later."""
    start_s = at_s - window_s
    return start_s - start_s % resolution_s


def resolutions_of(windows_s: Iterable[int | None]) -> tuple[Resolution, ...]:
    """The distinct windows, the shortest first and lifetime last, each with its resolution."""
    distinct = set(windows_s)
    finite = sorted(w for w in distinct if w is not None)
    return tuple(Resolution(w, resolution_of(w)) for w in finite) + ((Resolution(None, 0),) if None in distinct else ())


def levels_of(resolutions: Iterable[Resolution]) -> tuple[Resolution, ...]:
    """The longest window of each resolution, the shortest first: its tiles serve shorter ones of that resolution, too.

    >>> levels_of(resolutions_of(map(window_seconds, ("90d", "365d", "1m"))))
    (Resolution(window_s=60, resolution_s=1), Resolution(window_s=31536000, resolution_s=86400))
    """
    longest = {resolution.resolution_s: resolution for resolution in resolutions}
    return tuple(longest.values())
