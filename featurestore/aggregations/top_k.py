"""TopK: the most frequent values."""

import dataclasses
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import ANY_KIND, Aggregation, Cell, EventIdHash, Kind, State, Value

COUNTERS = 64
MAX_K = 32


@dataclass(frozen=True)
class TopK(Aggregation):
    """The ``k`` most frequent values of a field, the most frequent first, of equals the smaller; 1 to 32 of them.

    Exact up to 64 different values. Beyond, the mergeable summary of Misra and Gries (Agarwal et al., Mergeable
    Summaries, 2012): with N events, a value's counter is low by at most N/65, so no value of more events is missed.

    A state is the bound by which a counter can be low, the values in order, and the counter of each.

    >>> favourites = TopK("category", k=2).bind(Kind.TEXT)
    >>> state = favourites.zero()
    >>> for category in ("shoes", "hats", "shoes", "belts"):
    ...     state = favourites.update(state, category, 0, 0)
    >>> favourites.finish(state, now_ms=0)
    ['shoes', 'belts']
    """

    k: int = dataclasses.field(default=3, kw_only=True)

    answers = Answers.VALUES
    takes = ANY_KIND
    growing = True
    empty = []
    error = f"none up to {COUNTERS} different values; beyond, a count is low by at most 1/{COUNTERS + 1} of all events"
    cells = (Cell.BLOB,)

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise ValueError(f"TopK of {self.k} values is not kept: take k=1 to k={MAX_K}")

    @property
    def name(self) -> str:
        return f"top_{self.k}"

    def zero(self) -> State:
        return (0,)

    def update(self, state: Sequence[Value], value: Value, time_ms: int, event_id_hash: EventIdHash) -> State:
        if self.kind is Kind.FLOAT:
            value += 0.0  # makes -0.0 into 0.0
        size = len(state) // 2
        at = bisect_left(state, value, 1, size + 1)
        if at <= size and state[at] == value:
            return (*state[: at + size], state[at + size] + 1, *state[at + size + 1 :])
        if size < COUNTERS:
            return (*state[:at], value, *state[at : at + size], 1, *state[at + size :])
        return self.combine((state, (0, value, 1)))

    def merge(self, a: Sequence[Value], b: Sequence[Value]) -> State:
        return self.combine((a, b))

    def combine(self, states: Iterable[Sequence[Value]]) -> State:
        low = 0
        counts: dict[Value, int] = {}
        for state in states:
            low += state[0]
            size = len(state) // 2
            for value, count in zip(state[1 : size + 1], state[size + 1 :], strict=True):
                counts[value] = counts.get(value, 0) + count
        if len(counts) > COUNTERS:
            cut = sorted(counts.values())[-COUNTERS - 1]
            low += cut
            counts = {value: count - cut for value, count in counts.items() if count > cut}
        values = sorted(counts)
        return (low, *values, *[counts[value] for value in values])

    def finish(self, state: Sequence[Value], now_ms: int) -> list[Value]:
        size = len(state) // 2
        ranked = sorted(range(1, size + 1), key=lambda at: -state[at + size])  # stable: equals stay in order
        return [self.unscale(state[at]) for at in ranked[: self.k]]
