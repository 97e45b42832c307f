"""In which tile a moment belongs, and how tiles grow coarser as they age. Pure.

A moment belongs to the finest rung whose window could still show it, judged by the newest event less SLACK_S; a read
at any time from then on finds each window's edge between two tiles. That depends on the newest event alone, and coarser
steps are multiples of finer ones, so it does not matter when a tile is coarsened or an event arrives.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from featurestore.aggregations.base import Aggregation
from featurestore.definitions.windows import Rung, edge

SLACK_S = 300  # no question is asked for an earlier time than the newest event less this
LIFETIME_START_S = 0

Tile = list[Any]


def place(ladder: Sequence[Rung], moment_s: int, newest_s: int) -> int | None:
    """The start of the tile that a moment belongs to; None if it is older than the longest window."""
    judged_s = newest_s - SLACK_S
    for window_s, step_s in ladder:
        if window_s is None:
            return LIFETIME_START_S
        start = moment_s - moment_s % step_s
        if start >= edge(window_s, step_s, judged_s):
            return start
    return None


def edges(ladder: Sequence[Rung], newest_s: int) -> list[int]:
    """Before which start a tile is too old for each finite rung."""
    judged_s = newest_s - SLACK_S
    return [edge(window_s, step_s, judged_s) for window_s, step_s in ladder if window_s is not None]


def in_place(starts: Sequence[int], ladder: Sequence[Rung], before_s: int, newest_s: int) -> bool:
    """Whether sorted tiles that were in place for an earlier newest event still are: no edge has passed one."""
    passed = zip(edges(ladder, before_s), edges(ladder, newest_s), strict=True)
    return all(was == now or bisect_left(starts, was) == bisect_left(starts, now) for was, now in passed)


def coarsen(
    tiles: dict[int, Tile], ladder: Sequence[Rung], newest_s: int, aggregations: Sequence[Aggregation]
) -> dict[int, Tile]:
    """The tiles as they should be for a newest event: each in its place, those of one place merged, the rest gone."""
    placed: dict[int, Tile] = {}
    for start in sorted(tiles):
        tile, place_s = tiles[start], place(ladder, start, newest_s)
        if place_s is None:
            continue
        if (there := placed.get(place_s)) is None:
            placed[place_s] = tile if place_s == start else [place_s, *tile[1:]]
        else:
            placed[place_s] = [
                place_s,
                *(a.merge(x, y) for a, x, y in zip(aggregations, there[1:], tile[1:], strict=True)),
            ]
    return placed
