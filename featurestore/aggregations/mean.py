"""Mean: the mean of a number."""

from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import FLOAT_SUM, Aggregation, Cell, EventIdHash, Kind

State = Sequence[float]  # number of events, their sum


@dataclass(frozen=True)
class Mean(Aggregation):
    """Arithmetic mean of a numeric field, rounded once or twice to a float.

    Count and sum of integers and scaled decimals are exact; of floats, the sum is off by 1e-9 of their sizes at most.

    >>> mean = Mean("amount").bind(Kind.SCALED, places=2)
    >>> mean.finish(mean.update(mean.update(mean.zero(), 1275, 0, 1), -25, 0, 2), now_ms=0)
    6.25
    """

    name = "mean"
    answers = Answers.MEASURE
    additive = True

    @property
    def error(self) -> str:
        return FLOAT_SUM if self.kind is Kind.FLOAT else ""

    @property
    def cells(self) -> tuple[Cell, ...]:
        return (Cell.INT, self.number_cell)

    def zero(self) -> State:
        return (0, 0)

    def update(self, state: State, value: float, time_ms: int, event_id_hash: EventIdHash) -> State:
        return (state[0] + 1, state[1] + value)

    def merge(self, a: State, b: State) -> State:
        return (a[0] + b[0], a[1] + b[1])

    def finish(self, state: State, now_ms: int) -> float | None:
        count, total = state
        return self.unscale(total) / count if count else None
