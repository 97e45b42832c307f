"""Variance: the variance of a number."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import COUNT_BYTES, NUMBER_BYTES, Aggregation, Cell, EventIdHash, Kind
from featurestore.aggregations.wide import UNITS, WIDE_BYTES, units_of

State = Sequence[int]
LOW_BITS = 40  # a square is below 2**80: its two halves add up within 64 bits as long as a sum of values does
LOW = (1 << LOW_BITS) - 1

FLOAT = Kind.FLOAT


@dataclass(frozen=True)
class Variance(Aggregation):
    """Variance of a numeric field: of the population, or with ``sample=True`` the unbiased estimate from a sample.

    The population's is the default: the events are all there are, not drawn from more. A sample of one has none.

    A state is the number of events, their sum and the sum of their squares, exactly: that of integers and scaled
    decimals in two parts, the high one in units of 2**40; those of floats as wide integers. The answer is the float
    nearest to the variance. The store keeps that itself of floats.

    >>> from featurestore.aggregations import Kind
    >>> variance = Variance("amount").bind(Kind.SCALED, places=2)
    >>> two = variance.update(variance.update(variance.zero(), 1275, 0, 1), 275, 0, 2)
    >>> variance.answer(two, now_ms=0), Variance("amount", sample=True).answer(two, now_ms=0)
    (25.0, 500000.0)
    """

    sample: bool = dataclasses.field(default=False, kw_only=True)

    answers = Answers.SQUARE
    additive = True

    @property
    def name(self) -> str:
        return "sample_variance" if self.sample else "variance"

    @property
    def cells(self) -> tuple[Cell, ...]:
        if self.kind is FLOAT:
            return (Cell.INT, Cell.WIDE, Cell.WIDE)
        return (Cell.INT, Cell.INT, Cell.INT, Cell.INT)

    @property
    def suffix_cells(self) -> tuple[Cell, ...]:
        return (Cell.FLOAT,) if self.kind is FLOAT else self.cells

    def most_bytes(self, tile_s: int | None, value_bytes: int) -> int:
        return COUNT_BYTES + 3 * (WIDE_BYTES if self.kind is FLOAT else NUMBER_BYTES)

    def zero(self) -> State:
        return (0,) * len(self.cells)

    def update(self, state: State, value: float, time_ms: int, event_id_hash: EventIdHash) -> State:
        if self.kind is FLOAT:
            units = units_of(value)
            return (state[0] + 1, state[1] + units, state[2] + units * units)
        assert isinstance(value, int)
        square = value * value
        return (state[0] + 1, state[1] + value, state[2] + (square >> LOW_BITS), state[3] + (square & LOW))

    def merge(self, a: State, b: State) -> State:
        return tuple(map(int.__add__, a, b))

    def suffix_state(self, state: State) -> Any:
        return self.spread(state[0], state[1], state[2], UNITS) if self.kind is FLOAT else state

    def finish(self, state: Any, now_ms: int) -> float | None:
        if self.kind is FLOAT:
            return state  # type: ignore[no-any-return]
        count, total, high, low = state
        return self.spread(count, total, (high << LOW_BITS) + low, 10**self.places)

    def spread(self, count: int, total: int, squares: int, units: int) -> float | None:
        """The answer from the moments, in units of which 1.0 has ``units``; None where there is none."""
        others = count - self.sample
        if others <= 0:
            return None
        return self.nearest(count * squares - total * total, count * others * units * units)

    def nearest(self, numerator: int, denominator: int) -> float:
        """The float nearest to the answer, from the variance as a fraction."""
        return numerator / denominator
