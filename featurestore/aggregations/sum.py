"""Sum: the sum of a number."""

from dataclasses import dataclass

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import NUMBER_BYTES, Aggregation, Cell, EventIdHash, Kind
from featurestore.aggregations.wide import UNITS, WIDE_BYTES, units_of

FLOAT = Kind.FLOAT


@dataclass(frozen=True)
class Sum(Aggregation):
    """Sum of a numeric field, exactly; of floats, the float nearest to their exact sum.

    A sum past 64 bits (9.2 million values of the largest size that a source lets in, 10**12 of the field's smallest
    unit) can't be encoded, which is an error and never a wrong number. Floats are summed as wide integers.

    >>> total = Sum("amount").bind(Kind.SCALED, places=2)
    >>> total.answer(total.update(total.update(total.zero(), 1275, 0, 1), -25, 0, 2), now_ms=0)
    12.5
    """

    name = "sum"
    answers = Answers.VALUE
    additive = True
    empty = 0

    @property
    def cells(self) -> tuple[Cell, ...]:
        return (Cell.WIDE if self.kind is FLOAT else Cell.INT,)

    @property
    def suffix_cells(self) -> tuple[Cell, ...]:
        return (self.number_cell,)

    def most_bytes(self, tile_s: int | None, value_bytes: int) -> int:
        return WIDE_BYTES if self.kind is FLOAT else NUMBER_BYTES

    def zero(self) -> int:
        return 0

    def update(self, state: int, value: float, time_ms: int, event_id_hash: EventIdHash) -> int:
        return state + (units_of(value) if self.kind is FLOAT else value)  # type: ignore[return-value]

    def merge(self, a: int, b: int) -> int:
        return a + b

    def suffix_state(self, state: int) -> float:
        return state / UNITS if self.kind is FLOAT else state

    def finish(self, state: float, now_ms: int) -> float:
        return self.unscale(state)
