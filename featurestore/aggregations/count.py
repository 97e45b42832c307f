"""Count: the number of events."""

from dataclasses import dataclass

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import ANY_KIND, COUNT_BYTES, Aggregation, Cell, EventIdHash, Value


@dataclass(frozen=True)
class Count(Aggregation):
    """Number of events; of those that have the field, if one is named.

    >>> count = Count()
    >>> count.answer(count.merge(2, count.update(count.zero(), None, 0, 0)), now_ms=0)
    3
    """

    name = "count"
    answers = Answers.COUNT
    takes = ANY_KIND
    needs_field = False
    additive = True
    empty = 0
    cells = (Cell.INT,)

    def most_bytes(self, tile_s: int | None, value_bytes: int) -> int:
        return COUNT_BYTES

    def zero(self) -> int:
        return 0

    def update(self, state: int, value: Value, time_ms: int, event_id_hash: EventIdHash) -> int:
        return state + 1

    def merge(self, a: int, b: int) -> int:
        return a + b

    def finish(self, state: int, now_ms: int) -> int:
        return state
