"""What is at one end of all values: the ground of Min and Max."""

from dataclasses import dataclass

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import Aggregation, Cell


@dataclass(frozen=True)
class Extreme(Aggregation):
    """One of a numeric field's values. A state is that value, None if there was none."""

    answers = Answers.VALUE

    @property
    def cells(self) -> tuple[Cell, ...]:
        return (self.number,)

    def zero(self) -> None:
        return None

    def finish(self, state: float | None, now_ms: int) -> float | None:
        return None if state is None else self.unscale(state)
