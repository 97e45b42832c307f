"""Base class of SessionCount and SessionMeanDuration: events grouped by pauses."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from featurestore.aggregations.base import ANY_KIND, Aggregation, Cell, EventIdHash, State, Value
from featurestore.aggregations.duration import seconds

MAX_OPEN = 64  # sessions kept with their bounds
ZERO = (0, 0)
MAX_ITEMS = len(ZERO) + 2 * MAX_OPEN  # items of a state


@dataclass(frozen=True)
class Sessions(Aggregation):
    """Sessions of events: one ends with a pause of more than ``gap``. Of events with the field, if one is named.

    A state is the number of closed sessions, their milliseconds in all, and then first and last time of each open one,
    the oldest first. The newest 64 are open: an event can still prolong or join them. Older ones close, and an event
    that comes so late that it belongs to a closed one counts as a session more. So answers are exact up to 64 sessions,
    and beyond while no event or part comes out of order by 64 sessions; otherwise sessions are too many and too short.
    """

    gap: str = dataclasses.field(default="30m", kw_only=True)

    takes = ANY_KIND
    needs_field = False
    growing = True
    error = (
        f"none up to {MAX_OPEN} sessions; beyond, "
        f"an event later than {MAX_OPEN} newer sessions counts as one of its own"
    )
    cells = (Cell.BLOB,)

    def __post_init__(self) -> None:
        seconds(self.gap)

    @cached_property
    def gap_ms(self) -> int:
        return seconds(self.gap) * 1000

    def zero(self) -> State:
        return ZERO

    def update(self, state: Sequence[int], value: Value, time_ms: int, event_id_hash: EventIdHash) -> State:
        if len(state) == len(ZERO) or time_ms - state[-1] > self.gap_ms:
            return close_oldest((*state, time_ms, time_ms))
        if time_ms < state[-2]:  # before the newest session
            return self.combine((state, (0, 0, time_ms, time_ms)))
        return state if time_ms <= state[-1] else (*state[:-1], time_ms)

    def merge(self, a: Sequence[int], b: Sequence[int]) -> State:
        return self.combine((a, b))

    def combine(self, states: Iterable[Sequence[int]]) -> State:
        closed = closed_ms = 0
        spans: list[tuple[int, int]] = []
        for state in states:
            closed += state[0]
            closed_ms += state[1]
            spans += zip(state[2::2], state[3::2], strict=True)
        spans.sort()
        bounds: list[int] = []
        for start, end in spans:
            if not bounds or start - bounds[-1] > self.gap_ms:
                bounds += (start, end)
            elif end > bounds[-1]:
                bounds[-1] = end
        return close_oldest((closed, closed_ms, *bounds))

    def count(self, state: Sequence[int]) -> int:
        """The number of sessions."""
        return state[0] + (len(state) - len(ZERO)) // 2


def close_oldest(state: Sequence[int]) -> State:
    """The state with no more than the newest sessions open."""
    if len(state) <= MAX_ITEMS:
        return state
    keep = len(state) - MAX_ITEMS + len(ZERO)
    ended, begun = state[len(ZERO) + 1 : keep : 2], state[len(ZERO) : keep : 2]
    return (state[0] + len(ended), state[1] + sum(ended) - sum(begun), *state[keep:])
