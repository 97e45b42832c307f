"""StdDev: the standard deviation of a number."""

import math
from dataclasses import dataclass

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.variance import State, Variance


@dataclass(frozen=True)
class StdDev(Variance):
    """Square root of the variance: of the population, or with ``sample=True`` from the unbiased variance.

    Algorithm and error are Variance's.

    >>> from featurestore.aggregations import Kind
    >>> deviation = StdDev("amount").bind(Kind.SCALED, places=2)
    >>> two = deviation.update(deviation.update(deviation.zero(), 1275, 0, 1), 275, 0, 2)
    >>> deviation.finish(two, now_ms=0)
    5.0
    """

    answers = Answers.MEASURE

    @property
    def name(self) -> str:
        return "sample_stddev" if self.sample else "stddev"

    def finish(self, state: State, now_ms: int) -> float | None:
        spread = self.spread(state)
        return None if spread is None else self.unscale(math.sqrt(spread))
