"""LastN: the latest values."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import ANY_KIND, EVENT_BYTES, Aggregation, Cell, EventIdHash, State, Value

MAX_N = 100
SIZE = 3  # items of a state for one event
when = itemgetter(0, 1)


@dataclass(frozen=True)
class LastN(Aggregation):
    """Values of the latest ``n`` events that have the field, newest first, exactly; 1 to 100 of them.

    A state is the time, event_id_hash and value of each, one after the other. Within a millisecond, the larger
    event_id_hash is the newer.

    >>> from featurestore.aggregations import Kind
    >>> moods = LastN("sentiment", n=2).bind(Kind.FLOAT)
    >>> early = moods.update(moods.update(moods.zero(), 0.5, 1_000, 7), -0.25, 3_000, 8)
    >>> moods.answer(moods.merge(early, moods.update(moods.zero(), 0.75, 2_000, 9)), now_ms=0)
    [-0.25, 0.75]
    """

    n: int = dataclasses.field(default=5, kw_only=True)

    answers = Answers.VALUES
    takes = ANY_KIND
    growing = True
    empty = []
    cells = (Cell.BLOB,)

    def __post_init__(self) -> None:
        if not 1 <= self.n <= MAX_N:
            raise ValueError(f"LastN of {self.n} values is not kept: take n=1 to n={MAX_N}, or Last for one alone")

    @property
    def name(self) -> str:
        return f"last_{self.n}"

    @property
    def keeps(self) -> int:
        return self.n

    def newest(self, state: State, count: int) -> tuple[State, int]:
        kept = state if len(state) <= SIZE * count else state[: SIZE * count]
        return kept, len(kept) // SIZE

    def most_bytes(self, tile_s: int | None, value_bytes: int) -> int:
        return 3 + self.n * (EVENT_BYTES + value_bytes)

    def zero(self) -> State:
        return ()

    def update(self, state: Sequence[Value], value: Value, time_ms: int, event_id_hash: EventIdHash) -> State:
        at, end = 0, SIZE * self.n
        while at < len(state) and (state[at] > time_ms or (state[at] == time_ms and state[at + 1] > event_id_hash)):
            at += SIZE
        return state if at == end else (*state[:at], time_ms, event_id_hash, value, *state[at : end - SIZE])

    def merge(self, a: Sequence[Value], b: Sequence[Value]) -> State:
        if not a or not b:
            return a or b
        return self.combine((a, b))

    def combine(self, states: Iterable[Sequence[Value]]) -> State:
        events = [state[at : at + SIZE] for state in states for at in range(0, len(state), SIZE)]
        events.sort(key=when, reverse=True)
        return tuple(chain.from_iterable(islice(events, self.n)))

    def finish(self, state: Sequence[Value], now_ms: int) -> list[Value]:
        return [self.unscale(value) for value in state[2::SIZE]]
