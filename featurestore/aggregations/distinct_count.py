"""DistinctCount: the number of different values."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import ANY_KIND, Aggregation, Cell, EventIdHash, Kind, Value
from featurestore.aggregations.hyperloglog import estimate, sketch_of, union, with_digest

MAX_EXACT = 128  # different values; beyond, a sketch of 2 kB is soon the smaller state and keeps its size
SKETCH_BYTES = 2_200

State = Sequence[int] | bytes
encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class DistinctCount(Aggregation):
    """Number of different values of a field: exact up to 128 in a tile, then an estimate.

    A state is the sorted 64-bit BLAKE2b digests of the values, and beyond 128 a HyperLogLog sketch of those digests
    (featurestore.aggregations.hyperloglog), whose standard error is 2.3 %: two of three answers are off by less, 99 of
    100 by less than 6 %. The state, sketched or not, is the same for any order and any parts of the same events. An
    answer over several tiles is exact if none has a sketch.

    >>> shops = DistinctCount("shop").bind(Kind.TEXT)
    >>> shops.answer(shops.update(shops.update(shops.zero(), "north", 0, 1), "north", 5, 2), now_ms=0)
    1
    """

    name = "distinct"
    answers = Answers.COUNT
    takes = ANY_KIND
    growing = True
    inflation = 2
    empty = 0
    error = f"none up to {MAX_EXACT} different values in a tile; beyond, a standard error of 2.3 %"
    cells = (Cell.BLOB,)

    def most_bytes(self, tile_s: int | None, value_bytes: int) -> int:
        return SKETCH_BYTES

    def weight(self, state: State, size: int, most: int) -> int:
        return most if isinstance(state, bytes) else size

    def zero(self) -> State:
        return ()

    def update(self, state: State, value: Value, time_ms: int, event_id_hash: EventIdHash) -> State:
        if self.kind is Kind.FLOAT:
            value += 0.0  # makes -0.0 into 0.0
        digest = int.from_bytes(blake2b(encode(value), digest_size=8).digest(), "big", signed=True)
        if isinstance(state, bytes):
            return with_digest(state, digest)
        at = bisect_left(state, digest)
        if at < len(state) and state[at] == digest:
            return state
        return bounded((*state[:at], digest, *state[at:]))

    def merge(self, a: State, b: State) -> State:
        return self.merge_all((a, b))

    def merge_all(self, states: Sequence[State]) -> State:
        merged = self.combine(states)
        return merged if isinstance(merged, bytes) else bounded(sorted(merged))

    def combine(self, states: Iterable[State]) -> State:
        """As ``merge``, but there may be more digests than MAX_EXACT, in any order."""
        digests: set[int] = set()
        sketches = []
        for state in states:
            if isinstance(state, bytes):
                sketches.append(state)
            else:
                digests.update(state)
        if not sketches:
            return tuple(digests)
        if digests:
            sketches.append(sketch_of(tuple(digests)))
        return union(sketches) if len(sketches) > 1 else sketches[0]

    def finish(self, state: State, now_ms: int) -> int:
        if isinstance(state, bytes):
            return max(MAX_EXACT + 1, round(estimate(state)))
        return len(state)


def bounded(digests: Sequence[int]) -> State:
    """The digests, or a sketch of them if there are more than MAX_EXACT."""
    return digests if len(digests) <= MAX_EXACT else sketch_of(digests)
