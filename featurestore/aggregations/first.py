"""First: the earliest value."""

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.aggregations.base import Cell, EventIdHash, State, Value
from featurestore.aggregations.event_value import EventValue


@dataclass(frozen=True)
class First(EventValue):
    """Value of the earliest event that has the field, exactly; within a millisecond, of the smaller event_id_hash.

    >>> from featurestore.aggregations import Kind
    >>> first = First("stage").bind(Kind.TEXT)
    >>> first.answer(first.update(first.update(first.zero(), "new", 1_000, 7), "won", 2_000, 3), now_ms=0)
    'new'
    """

    name = "first"

    @property
    def weighed(self) -> bool:
        return self.value_cell is Cell.BLOB

    def weight(self, state: State, size: int, most: int) -> int:
        return most  # an earlier event may have a shorter text

    def update(self, state: Sequence[Value], value: Value, time_ms: int, event_id_hash: EventIdHash) -> State:
        held_ms = state[0]
        if held_ms is None or time_ms < held_ms or (time_ms == held_ms and event_id_hash < state[1]):
            return (time_ms, event_id_hash, value)
        return state

    def merge(self, a: Sequence[Value], b: Sequence[Value]) -> State:
        if a[0] is None or b[0] is None:
            return b if a[0] is None else a
        return b if b[0] < a[0] or (b[0] == a[0] and b[1] < a[1]) else a
