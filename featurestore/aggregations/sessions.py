"""Base class of SessionCount and SessionMeanDuration: events grouped by pauses."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from featurestore.aggregations.base import ANY_KIND, EVENT_BYTES, Aggregation, Cell, EventIdHash, State, Value
from featurestore.aggregations.duration import seconds


@dataclass(frozen=True)
class Sessions(Aggregation):
    """Sessions of events: one ends with a pause of more than ``gap``. Of events with the field, if one is named.

    A state is the first and the last time of each session, the oldest first. A tile holds no more sessions than gaps,
    and lifetime has no bound: so a view has sessions over finite windows only, and no shorter gap than fits.
    """

    gap: str = dataclasses.field(default="30m", kw_only=True)

    takes = ANY_KIND
    needs_field = False
    growing = True
    cells = (Cell.BLOB,)

    def __post_init__(self) -> None:
        seconds(self.gap)

    @cached_property
    def gap_ms(self) -> int:
        return seconds(self.gap) * 1000

    def most_bytes(self, tile_s: int | None, value_bytes: int) -> int | None:
        return None if tile_s is None else 3 + (tile_s * 1000 // self.gap_ms + 2) * EVENT_BYTES

    def weight(self, state: State, size: int, most: int) -> int:
        """Sessions join, but the stretches of one gap's length that they touch only ever increase."""
        gap_ms = self.gap_ms
        touched: int = sum(
            end // gap_ms - start // gap_ms + 1 for start, end in zip(state[::2], state[1::2], strict=True)
        )
        return 3 + touched * EVENT_BYTES

    def zero(self) -> State:
        return ()

    def update(self, state: Sequence[int], value: Value, time_ms: int, event_id_hash: EventIdHash) -> State:
        if not state or time_ms - state[-1] > self.gap_ms:
            return (*state, time_ms, time_ms)
        if time_ms < state[-2]:  # before the newest session
            return self.combine((state, (time_ms, time_ms)))
        return state if time_ms <= state[-1] else (*state[:-1], time_ms)

    def merge(self, a: Sequence[int], b: Sequence[int]) -> State:
        return self.combine((a, b))

    def combine(self, states: Iterable[Sequence[int]]) -> State:
        spans: list[tuple[int, int]] = []
        for state in states:
            spans += zip(state[::2], state[1::2], strict=True)
        spans.sort()
        bounds: list[int] = []
        for start, end in spans:
            if not bounds or start - bounds[-1] > self.gap_ms:
                bounds += (start, end)
            elif end > bounds[-1]:
                bounds[-1] = end
        return bounds
