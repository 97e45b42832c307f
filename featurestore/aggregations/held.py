"""What holds the value of one event: the ground of First and Last."""

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import ANY_KIND, Aggregation, Cell, State, Value

NONE = (None, None, None)


@dataclass(frozen=True)
class Held(Aggregation):
    """One event's value. A state is the event's time, its event_id_hash and the value."""

    answers = Answers.VALUE
    takes = ANY_KIND

    @property
    def cells(self) -> tuple[Cell, ...]:
        return (Cell.INT, Cell.INT, self.held)

    def zero(self) -> State:
        return NONE

    def finish(self, state: Sequence[Value], now_ms: int) -> Value:
        return None if state[0] is None else self.unscale(state[2])
