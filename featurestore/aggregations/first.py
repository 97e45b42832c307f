"""First: the earliest value."""

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.aggregations.base import ANY_KIND, Aggregation, Cell, State, Tie, Value

NONE = (None, None, None)


@dataclass(frozen=True)
class First(Aggregation):
    """The field's value in the earliest event that has it, exactly; of one millisecond's, the one of the smaller tie.

    A state is the event's time, its tie and the value.

    >>> from featurestore.aggregations import Kind
    >>> first = First("stage").bind(Kind.TEXT)
    >>> first.finish(first.update(first.update(first.zero(), "new", 1_000, 7), "won", 2_000, 3), now_ms=0)
    'new'
    """

    name = "first"
    takes = ANY_KIND

    @property
    def cells(self) -> tuple[Cell, ...]:
        return (Cell.INT, Cell.INT, self.held)

    def zero(self) -> State:
        return NONE

    def update(self, state: Sequence[Value], value: Value, time_ms: int, tie: Tie) -> State:
        held_ms = state[0]
        if held_ms is None or time_ms < held_ms or (time_ms == held_ms and tie < state[1]):
            return (time_ms, tie, value)
        return state

    def merge(self, a: Sequence[Value], b: Sequence[Value]) -> State:
        if a[0] is None or b[0] is None:
            return b if a[0] is None else a
        return b if b[0] < a[0] or (b[0] == a[0] and b[1] < a[1]) else a

    def finish(self, state: Sequence[Value], now_ms: int) -> Value:
        return None if state[0] is None else self.unscale(state[2])
