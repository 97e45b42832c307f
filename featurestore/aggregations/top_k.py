"""TopK: the most frequent values."""

import dataclasses
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zlib import crc32

import msgspec

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import (
    ANY_KIND,
    COUNT_BYTES,
    NUMBER_BYTES,
    STATE_BYTES,
    TEXT_BYTES,
    Aggregation,
    Cell,
    EventIdHash,
    Kind,
    State,
    Value,
)

LARGEST_VALUE_BYTES = TEXT_BYTES + 3
VALUES_BYTES = STATE_BYTES - 3 - 2 * NUMBER_BYTES
MAX_K = 32
encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True)
class TopK(Aggregation):
    """The ``k`` most frequent values of a field, the most frequent first, of equals the smaller; 1 to 32 of them.

    Exact while the different values of a tile fit in 4 KiB, 5 bytes being added to each: 340 texts of 6 characters, or
    290 numbers. Beyond, the tile counts those values that fit, in the order of their hashes: the bottom-k sample of
    Cohen and Kaplan (2007). Which these are depends on the values alone, and never on the order of events, as it would
    with the counters of Misra and Gries. Their counts are exact; the other values are left out.

    A state is the number of events whose values are left out, the hash from which on they are (0: none is), the values
    in order, and the count of each.

    >>> favourites = TopK("category", k=2).bind(Kind.TEXT)
    >>> state = favourites.zero()
    >>> for category in ("shoes", "hats", "shoes", "belts"):
    ...     state = favourites.update(state, category, 0, 0)
    >>> favourites.answer(state, now_ms=0)
    ['shoes', 'belts']
    """

    k: int = dataclasses.field(default=3, kw_only=True)

    answers = Answers.VALUES
    takes = ANY_KIND
    growing = True
    inflation = 4
    empty = []
    error = "none while the different values of a tile fit in 4 KiB; beyond, it counts those with the lowest hashes"
    cells = (Cell.BLOB,)

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise ValueError(f"TopK of {self.k} values is not kept: take k=1 to k={MAX_K}")

    @property
    def name(self) -> str:
        return f"top_{self.k}"

    def most_bytes(self, tile_s: int | None, value_bytes: int) -> int:
        return STATE_BYTES

    def weight(self, state: State, size: int, most: int) -> int:
        return most if state[0] else size

    def zero(self) -> State:
        return (0, 0)

    def update(self, state: Sequence[Value], value: Value, time_ms: int, event_id_hash: EventIdHash) -> State:
        if self.kind is Kind.FLOAT:
            value += 0.0  # makes -0.0 into 0.0
        size = len(state) // 2 - 1
        at = bisect_left(state, value, 2, size + 2)
        if at < size + 2 and state[at] == value:
            return (*state[: at + size], state[at + size] + 1, *state[at + size + 1 :])
        return bounded((*state[:at], value, *state[at : at + size], 1, *state[at + size :]))

    def merge(self, a: Sequence[Value], b: Sequence[Value]) -> State:
        return self.merge_all((a, b))

    def merge_all(self, states: Sequence[Sequence[Value]]) -> State:
        left_out, bound, counts = summed(states)
        values = sorted(counts)
        return bounded((left_out, bound, *values, *map(counts.__getitem__, values)))

    def combine(self, states: Iterable[Sequence[Value]]) -> State:
        """As ``merge``, but without a bound and with the values in any order."""
        states = list(states)
        if len(states) == 1:
            return states[0]
        left_out, bound, counts = summed(states)
        return (left_out, bound, *counts, *counts.values())

    def finish(self, state: Sequence[Value], now_ms: int) -> list[Value]:
        size = len(state) // 2 - 1
        values, counts = state[2 : size + 2], state[size + 2 :]
        count_of = dict(zip(values, counts, strict=True)).__getitem__
        ranked = sorted(sorted(values), key=count_of, reverse=True)  # stable: of equals the smaller stays first
        return list(map(self.unscale, ranked[: self.k])) if self.kind is Kind.SCALED else ranked[: self.k]


def summed(states: Iterable[Sequence[Value]]) -> tuple[int, int, dict[Value, int]]:
    """The number of events that are left out, the bound, and the count of each value."""
    left_out, bounds = 0, []
    counts: dict[Value, int] = {}
    for state in states:
        if state[1]:
            left_out += state[0]
            bounds.append(state[1])
        if len(state) == 4:  # as most tiles: one value
            value = state[2]
            counts[value] = counts.get(value, 0) + state[3]
        else:
            size = len(state) // 2 - 1
            for value, count in zip(state[2 : size + 2], state[size + 2 :], strict=True):
                counts[value] = counts.get(value, 0) + count
    return left_out, min(bounds, default=0), counts


def bounded(state: Sequence[Value]) -> Sequence[Value]:
    """The state without the values whose hash is not below the bound; the bound is the first hash that does not fit.

    A value that is kept among some values is kept among fewer: its count is exact.
    """
    left_out, bound, *rest = state
    size = len(rest) // 2
    if not bound and size * (LARGEST_VALUE_BYTES + COUNT_BYTES) <= VALUES_BYTES:
        return state
    encoded = list(map(encode, rest[:size]))
    if not bound and sum(map(len, encoded)) + size * COUNT_BYTES <= VALUES_BYTES:
        return state
    hashes = list(map(hash_of, encoded))
    bytes_left = VALUES_BYTES
    for hashed, raw in sorted(zip(hashes, encoded, strict=True)):
        bytes_left -= len(raw) + COUNT_BYTES
        if bound and hashed >= bound:
            break
        if bytes_left < 0:
            bound = hashed
            break
    kept = [at for at, hashed in enumerate(hashes) if hashed < bound]
    counts = [rest[at + size] for at in kept]
    return (left_out + sum(rest[size:]) - sum(counts), bound, *[rest[at] for at in kept], *counts)


def hash_of(encoded: bytes) -> int:
    """The hash of a value's bytes, from 1 on: 0 stands for no bound."""
    return crc32(encoded) + 1
