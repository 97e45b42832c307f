"""Rolling windows as the peers' users would keep them: tiles with running sums, in a JSON value.

The same windows and steps as our view's, so that every contestant keeps as much. They know no consent and no
duplicates, and a window ends with the customer's newest event: it grows stale until the next.
"""

from typing import Any

RESOLUTIONS_S = {"1h": (3_600, 60), "1d": (86_400, 900), "30d": (2_592_000, 43_200)}  # window and tile step


def update(state: dict[str, Any], at_s: int, amount: int) -> dict[str, int]:
    """Count an event into a customer's state, in place, and return the features."""
    features: dict[str, int] = {}
    for window, (length_s, resolution_s) in RESOLUTIONS_S.items():
        kept = state.setdefault(window, {"edge": 0, "sum": 0, "count": 0, "tiles": {}})
        edge, start = (at_s - length_s) // resolution_s, at_s // resolution_s
        if edge > kept["edge"]:
            kept["edge"] = edge
            forget(kept, edge)
        if start >= kept["edge"]:
            add(kept, start, amount)
        features[f"sum_{window}"], features[f"count_{window}"] = kept["sum"], kept["count"]
    return features


def add(kept: dict[str, Any], start: int, amount: int) -> None:
    tile = kept["tiles"].setdefault(str(start), [0, 0])
    tile[0] += amount
    tile[1] += 1
    kept["sum"] += amount
    kept["count"] += 1


def forget(kept: dict[str, Any], edge: int) -> None:
    """Drop the tiles before an edge, and subtract them from the sums."""
    for start in [start for start in kept["tiles"] if int(start) < edge]:
        total, count = kept["tiles"].pop(start)
        kept["sum"] -= total
        kept["count"] -= count
