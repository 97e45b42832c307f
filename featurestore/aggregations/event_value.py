"""Base class of First and Last: the value of one event."""

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import ANY_KIND, Aggregation, Cell, State, Value

ZERO = (None, None, None)


@dataclass(frozen=True)
class EventValue(Aggregation):
    """Value of one event. A state is the event's time, its event_id_hash and the value."""

    answers = Answers.VALUE
    takes = ANY_KIND

    @property
    def cells(self) -> tuple[Cell, ...]:
        return (Cell.INT, Cell.INT, self.value_cell)

    def zero(self) -> State:
        return ZERO

    def finish(self, state: Sequence[Value], now_ms: int) -> Value:
        return None if state[0] is None else self.unscale(state[2])
