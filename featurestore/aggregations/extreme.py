"""Base class of Min and Max: the value at one end of all."""

from dataclasses import dataclass

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import Aggregation, Cell


@dataclass(frozen=True)
class Extreme(Aggregation):
    """Least or greatest value of a numeric field. A state is that value, None if there was none."""

    answers = Answers.VALUE

    @property
    def cells(self) -> tuple[Cell, ...]:
        return (self.number_cell,)

    def zero(self) -> None:
        return None

    def finish(self, state: float | None, now_ms: int) -> float | None:
        return None if state is None else self.unscale(state)
