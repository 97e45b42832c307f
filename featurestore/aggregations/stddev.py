"""StdDev: the standard deviation of a number."""

import math
from dataclasses import dataclass

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.variance import Variance

SQUARED_BITS = 132  # of the integer whose root is taken: the root has 66, and a float 53


@dataclass(frozen=True)
class StdDev(Variance):
    """Square root of the variance: of the population, or with ``sample=True`` from the unbiased variance.

    The algorithm is Variance's; the answer is the float nearest to the root of the exact variance.

    >>> from featurestore.aggregations import Kind
    >>> deviation = StdDev("amount").bind(Kind.SCALED, places=2)
    >>> two = deviation.update(deviation.update(deviation.zero(), 1275, 0, 1), 275, 0, 2)
    >>> deviation.answer(two, now_ms=0)
    5.0
    """

    answers = Answers.MEASURE

    @property
    def name(self) -> str:
        return "sample_stddev" if self.sample else "stddev"

    def nearest(self, numerator: int, denominator: int) -> float:
        shift = max(SQUARED_BITS - numerator.bit_length() + denominator.bit_length(), 0) // 2 + 1
        quotient, rest = divmod(numerator << 2 * shift, denominator)
        root = math.isqrt(quotient)
        above = rest > 0 or root * root < quotient  # the true root is more: half a unit decides which float is nearest
        return (2 * root + above) / (1 << shift + 1)
