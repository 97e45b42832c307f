"""Variance: the variance of a number."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import Aggregation, Cell, EventIdHash

State = Sequence[float]  # number of events, their mean, sum of the squared distances from it


@dataclass(frozen=True)
class Variance(Aggregation):
    """Variance of a numeric field: of the population, or with ``sample=True`` the unbiased estimate from a sample.

    The population's is the default: the events are all there are, not drawn from more. A sample of one has none.

    B. P. Welford's update (1962) and the pairwise merge of Chan, Golub and LeVeque (1979), in floats. Never negative;
    off by no more than a shift of each value by 1e-12 of the largest size would change it.

    >>> from featurestore.aggregations import Kind
    >>> variance = Variance("amount").bind(Kind.SCALED, places=2)
    >>> two = variance.update(variance.update(variance.zero(), 1275, 0, 1), 275, 0, 2)
    >>> variance.finish(two, now_ms=0), Variance("amount", sample=True).finish(two, now_ms=0)
    (25.0, 500000.0)
    """

    sample: bool = dataclasses.field(default=False, kw_only=True)

    answers = Answers.SQUARE
    error = "what shifting each value by 1e-12 of the largest size would change"
    cells = (Cell.INT, Cell.FLOAT, Cell.FLOAT)

    @property
    def name(self) -> str:
        return "sample_variance" if self.sample else "variance"

    def zero(self) -> State:
        return (0, 0.0, 0.0)

    def update(self, state: State, value: float, time_ms: int, event_id_hash: EventIdHash) -> State:
        count, mean, squares = state
        count += 1
        away = value - mean
        mean += away / count
        return (count, mean, squares + away * (value - mean))

    def merge(self, a: State, b: State) -> State:
        if not a[0] or not b[0]:
            return a if a[0] else b
        count = a[0] + b[0]
        apart = b[1] - a[1]
        part = b[0] / count
        return (count, a[1] + apart * part, a[2] + b[2] + apart * apart * a[0] * part)

    def spread(self, state: State) -> float | None:
        """The variance in squares of the field's smallest unit; None where there is none."""
        count = state[0] - self.sample
        return state[2] / count if count > 0 else None

    def finish(self, state: State, now_ms: int) -> float | None:
        spread = self.spread(state)
        return None if spread is None else self.unscale(self.unscale(spread))
