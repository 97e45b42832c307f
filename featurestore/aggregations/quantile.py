"""Quantile: a quantile of a number, such as the median."""

import dataclasses
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from datasketches import kll_doubles_sketch

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import Aggregation, Cell, EventIdHash, Kind

MAX_EXACT = 64  # values
K = 200

State = Sequence[float] | bytes


@dataclass(frozen=True)
class Quantile(Aggregation):
    """Smallest value for which at least the share ``q`` of all values is no larger: ``q=0.5`` is a median.

    A state is the sorted values, and beyond 64 a KLL sketch (Karnin, Lang and Liberty, 2016; Apache datasketches,
    k=200), which is randomised. Exact up to 64 values; beyond, the rank of the answer is off by at most 1.33 % of the
    values in 99 of 100 cases.

    >>> median = Quantile("amount", q=0.5).bind(Kind.SCALED, places=2)
    >>> state = median.zero()
    >>> for amount in (900, 1275, 100):
    ...     state = median.update(state, amount, 0, 0)
    >>> median.name, median.finish(state, now_ms=0)
    ('p50', 9.0)
    """

    q: float = dataclasses.field(kw_only=True)

    answers = Answers.VALUE
    growing = True
    error = f"none up to {MAX_EXACT} values; beyond, a rank is off by at most 1.33 % of the values in 99 of 100 cases"
    cells = (Cell.BLOB,)

    def __post_init__(self) -> None:
        if not 0 < self.q < 1:
            raise ValueError(f"q={self.q} is no quantile: take q between 0 and 1, such as 0.5 or 0.95, or Min or Max")

    @property
    def name(self) -> str:
        return f"p{float(100 * self.share):.12g}".replace(".", "_")

    @cached_property
    def share(self) -> Fraction:
        """``q`` as it is written: 0.07 of 100 values is 7, where a float's product is a little more."""
        return Fraction(str(self.q))

    def zero(self) -> State:
        return ()

    def update(self, state: State, value: float, time_ms: int, event_id_hash: EventIdHash) -> State:
        if isinstance(state, bytes):
            sketch = kll_doubles_sketch.deserialize(state)
            sketch.update(float(value))
            return bytes(sketch.serialize())
        value += 0  # makes -0.0 into 0.0
        at = bisect_right(state, value)
        return exact_or_sketch((*state[:at], value, *state[at:]))

    def merge(self, a: State, b: State) -> State:
        if not a or not b:
            return a or b
        return self.combine((a, b))

    def combine(self, states: Iterable[State]) -> State:
        values: list[float] = []
        sketches = []
        for state in states:
            if isinstance(state, bytes):
                sketches.append(kll_doubles_sketch.deserialize(state))
            else:
                values += state
        if not sketches:
            return exact_or_sketch(sorted(values))
        return merged_sketch(sketches, values)

    def finish(self, state: State, now_ms: int) -> float | None:
        if isinstance(state, bytes):
            value = kll_doubles_sketch.deserialize(state).get_quantile(self.q, True)
            return self.unscale(value if self.kind is Kind.FLOAT else int(value))
        if not state:
            return None
        return self.unscale(state[-int(-self.share * len(state) // 1) - 1])


def exact_or_sketch(values: Sequence[float]) -> State:
    """The values, or a sketch of them if there are more than MAX_EXACT."""
    return values if len(values) <= MAX_EXACT else merged_sketch([], values)


def merged_sketch(sketches: Iterable[kll_doubles_sketch], values: Iterable[float]) -> bytes:
    """One sketch of all. Integers up to 2**53 are exact as floats; updates with integers are 30 times slower."""
    found = kll_doubles_sketch(K)
    for each in sketches:
        found.merge(each)
    for value in values:
        found.update(float(value))
    return bytes(found.serialize())
