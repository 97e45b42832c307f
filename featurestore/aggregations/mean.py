"""Mean: the mean of a number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import COUNT_BYTES, NUMBER_BYTES, Aggregation, Cell, EventIdHash, Kind
from featurestore.aggregations.wide import UNITS, WIDE_BYTES, units_of

State = Sequence[int]  # number of events, their sum

FLOAT = Kind.FLOAT


@dataclass(frozen=True)
class Mean(Aggregation):
    """Arithmetic mean of a numeric field: the float nearest to the quotient of the exact sum and the count.

    The store keeps count and sum; of floats, which are summed as wide integers, the mean itself.

    >>> mean = Mean("amount").bind(Kind.SCALED, places=2)
    >>> state = mean.zero()
    >>> for amount in (10, 20, 30):
    ...     state = mean.update(state, amount, 0, 0)
    >>> mean.answer(state, now_ms=0), (0.10 + 0.20 + 0.30) / 3
    (0.2, 0.20000000000000004)
    """

    name = "mean"
    answers = Answers.MEASURE
    additive = True

    @property
    def cells(self) -> tuple[Cell, ...]:
        return (Cell.INT, Cell.WIDE if self.kind is FLOAT else Cell.INT)

    @property
    def suffix_cells(self) -> tuple[Cell, ...]:
        return (Cell.FLOAT,) if self.kind is FLOAT else (Cell.INT, Cell.INT)

    def most_bytes(self, tile_s: int | None, value_bytes: int) -> int:
        return COUNT_BYTES + (WIDE_BYTES if self.kind is FLOAT else NUMBER_BYTES)

    def zero(self) -> State:
        return (0, 0)

    def update(self, state: State, value: float, time_ms: int, event_id_hash: EventIdHash) -> State:
        return (state[0] + 1, state[1] + (units_of(value) if self.kind is FLOAT else value))  # type: ignore[return-value]

    def merge(self, a: State, b: State) -> State:
        return (a[0] + b[0], a[1] + b[1])

    def suffix_state(self, state: State) -> Any:
        if self.kind is not FLOAT:
            return state
        count, total = state
        return total / (count * UNITS) if count else None

    def finish(self, state: Any, now_ms: int) -> float | None:
        if self.kind is FLOAT:
            return state  # type: ignore[no-any-return]
        count, total = state
        return total / (count * 10**self.places) if count else None
