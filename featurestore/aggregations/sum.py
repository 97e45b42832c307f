"""Sum: the sum of a number."""

from dataclasses import dataclass

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import FLOAT_SUM, Aggregation, Cell, EventIdHash, Kind


@dataclass(frozen=True)
class Sum(Aggregation):
    """Sum of a numeric field. Integers and scaled decimals are exact; floats to 1e-9 of the sum of their sizes.

    A sum past 64 bits (9.2 million values of the largest size that a source lets in, 10**12 of the field's smallest
    unit) can't be encoded, which is an error and never a wrong number.

    >>> total = Sum("amount").bind(Kind.SCALED, places=2)
    >>> total.finish(total.update(total.update(total.zero(), 1275, 0, 1), -25, 0, 2), now_ms=0)
    12.5
    """

    name = "sum"
    answers = Answers.VALUE
    additive = True
    empty = 0

    @property
    def error(self) -> str:
        return FLOAT_SUM if self.kind is Kind.FLOAT else ""

    @property
    def cells(self) -> tuple[Cell, ...]:
        return (self.number_cell,)

    def zero(self) -> float:
        return 0

    def update(self, state: float, value: float, time_ms: int, event_id_hash: EventIdHash) -> float:
        return state + value

    def merge(self, a: float, b: float) -> float:
        return a + b

    def finish(self, state: float, now_ms: int) -> float:
        return self.unscale(state)
