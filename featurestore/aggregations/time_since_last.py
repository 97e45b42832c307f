"""TimeSinceLast: the time since the latest event."""

from dataclasses import dataclass

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import ANY_KIND, Aggregation, Cell, EventIdHash, Value


@dataclass(frozen=True)
class TimeSinceLast(Aggregation):
    """Seconds from the latest event to now, exact to the millisecond; of those with the field, if one is named.

    An event ahead of now counts as now: 0.

    >>> since = TimeSinceLast()
    >>> since.answer(since.merge(4_000, since.update(since.zero(), None, 2_500, 0)), now_ms=10_000)
    6.0
    """

    name = "seconds_since_last"
    answers = Answers.SECONDS
    takes = ANY_KIND
    needs_field = False
    keeps = 1
    cells = (Cell.INT,)

    def zero(self) -> None:
        return None

    def update(self, state: int | None, value: Value, time_ms: int, event_id_hash: EventIdHash) -> int:
        return time_ms if state is None or time_ms > state else state

    def merge(self, a: int | None, b: int | None) -> int | None:
        if a is None or b is None:
            return b if a is None else a
        return b if b > a else a

    def finish(self, state: int | None, now_ms: int) -> float | None:
        return None if state is None else max(0, now_ms - state) / 1000
