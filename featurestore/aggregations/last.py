"""Last: the latest value."""

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.aggregations.base import EventIdHash, State, Value
from featurestore.aggregations.event_value import EventValue


@dataclass(frozen=True)
class Last(EventValue):
    """Value of the latest event that has the field, exactly; within a millisecond, of the larger event_id_hash.

    An event without the field changes nothing. To unset the value by one, use LastOrNull.

    >>> from featurestore.aggregations import Kind
    >>> last = Last("stage").bind(Kind.TEXT)
    >>> last.answer(last.update(last.update(last.zero(), "new", 1_000, 7), "won", 2_000, 3), now_ms=0)
    'won'
    """

    name = "last"
    keeps = 1

    def update(self, state: Sequence[Value], value: Value, time_ms: int, event_id_hash: EventIdHash) -> State:
        held_ms = state[0]
        if held_ms is None or time_ms > held_ms or (time_ms == held_ms and event_id_hash > state[1]):
            return (time_ms, event_id_hash, value)
        return state

    def merge(self, a: Sequence[Value], b: Sequence[Value]) -> State:
        if a[0] is None or b[0] is None:
            return b if a[0] is None else a
        return b if b[0] > a[0] or (b[0] == a[0] and b[1] > a[1]) else a
