"""Min: the smallest value of a number."""

from dataclasses import dataclass

from featurestore.aggregations.base import EventIdHash
from featurestore.aggregations.extreme import Extreme


@dataclass(frozen=True)
class Min(Extreme):
    """Smallest value of a numeric field, exactly.

    >>> from featurestore.aggregations import Kind
    >>> minimum = Min("amount").bind(Kind.SCALED, places=2)
    >>> minimum.answer(minimum.update(minimum.update(minimum.zero(), 1275, 0, 1), 25, 0, 2), now_ms=0)
    0.25
    """

    name = "min"

    def update(self, state: float | None, value: float, time_ms: int, event_id_hash: EventIdHash) -> float:
        return value + 0 if state is None or value < state else state  # + 0 makes -0.0 into 0.0: one zero, one state

    def merge(self, a: float | None, b: float | None) -> float | None:
        if a is None or b is None:
            return b if a is None else a
        return b if b < a else a
