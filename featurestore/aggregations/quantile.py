"""Quantile: a quantile of a number, such as the median."""

import dataclasses
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, chain, repeat
from struct import Struct
from typing import Any

from featurestore.aggregations.answers import Answers
from featurestore.aggregations.base import COUNT_BYTES, NUMBER_BYTES, Aggregation, Cell, EventIdHash, Kind

MAX_BUCKETS = 256
SMALLEST = 2.0**-40
SHIFTS = 52  # buckets of an octave: with SMALLEST and the largest value of a source there are 161
FLOAT, BITS = Struct("<d"), Struct("<q")

State = Sequence[Any]


@dataclass(frozen=True)
class Quantile(Aggregation):
    """Smallest value for which at least the share ``q`` of all values is no larger: ``q=0.5`` is a median.

    A state is a histogram: its coarseness, the different values in order, and the number of each. Up to 256 of them it
    is exact, with the coarseness 0. Beyond, values share buckets. With the coarseness c, the bucket of a value is its
    size as a 64-bit float without the last c - 1 bits, and its sign. So each step joins two buckets, and a bucket is
    never wider than a share of its values: the log-linear buckets of Gil Tene's HdrHistogram, joined as by Epicoco,
    Melle, Cafaro et al. (UDDSketch, 2020). The coarseness is the least with 256 buckets or fewer, and so a function of
    the values alone. An answer over several tiles has as many buckets as they have.

    >>> median = Quantile("amount", q=0.5).bind(Kind.SCALED, places=2)
    >>> state = median.zero()
    >>> for amount in (900, 1275, 100):
    ...     state = median.update(state, amount, 0, 0)
    >>> median.name, state, median.answer(state, now_ms=0)
    ('p50', (0, 100, 900, 1275, 1, 1, 1), 9.0)
    """

    q: float = dataclasses.field(kw_only=True)

    answers = Answers.VALUE
    growing = True
    inflation = 14
    error = (
        f"none up to {MAX_BUCKETS} different values in a tile; beyond, 1.6 % of the answer if the largest is up to 256 "
        "times the smallest, 3.2 % up to 65,000 times, twice as much for each square of that"
    )
    cells = (Cell.BLOB,)

    def __post_init__(self) -> None:
        if not 0 < self.q < 1:
            raise ValueError(f"q={self.q} is no quantile: take q between 0 and 1, such as 0.5 or 0.95, or Min or Max")

    @property
    def name(self) -> str:
        return f"p{float(100 * self.share):.12g}".replace(".", "_")

    @cached_property
    def share(self) -> Fraction:
        """``q`` as it is written: 0.07 of 100 values is 7, where a float's product is a little more."""
        return Fraction(str(self.q))

    def most_bytes(self, tile_s: int | None, value_bytes: int) -> int:
        return 2 * NUMBER_BYTES + MAX_BUCKETS * (NUMBER_BYTES + COUNT_BYTES)

    def weight(self, state: State, size: int, most: int) -> int:
        return most if state and state[0] else size

    def zero(self) -> State:
        return ()

    def update(self, state: State, value: float, time_ms: int, event_id_hash: EventIdHash) -> State:
        value += 0  # makes -0.0 into 0.0
        if not state:
            return (0, value, 1)
        key = bucket_of(value, state[0]) if state[0] else value
        size = len(state) // 2
        at = bisect_left(state, key, 1, size + 1)
        if at <= size and state[at] == key:
            return (*state[: at + size], state[at + size] + 1, *state[at + size + 1 :])
        return bounded((*state[:at], key, *state[at : at + size], 1, *state[at + size :]))

    def merge(self, a: State, b: State) -> State:
        return self.merge_all((a, b))

    def merge_all(self, states: Sequence[State]) -> State:
        counted = [state for state in states if state]
        if len(counted) < 2:
            return counted[0] if counted else ()
        coarseness = max([state[0] for state in counted])
        counts: dict[Any, int] = {}
        for state in counted:
            for key, count in zip(coarser(state, coarseness), state[len(state) // 2 + 1 :], strict=True):
                counts[key] = counts.get(key, 0) + count
        keys = sorted(counts)
        return bounded((coarseness, *keys, *[counts[key] for key in keys]))

    def combine(self, states: Iterable[State]) -> State:
        """As ``merge``, but a value may be there several times, and there may be more buckets than MAX_BUCKETS."""
        counted = [state for state in states if state]
        if len(counted) < 2:
            return counted[0] if counted else ()
        coarseness = max([state[0] for state in counted])
        keys: list[Any] = []
        counts: list[int] = []
        for state in counted:
            keys += coarser(state, coarseness)
            counts += state[len(state) // 2 + 1 :]
        total = sum(counts)
        if total <= 2 * len(keys):  # faster than sorting pairs
            if total > len(keys):
                keys = list(chain.from_iterable(map(repeat, keys, counts)))
            return (coarseness, *sorted(keys), *repeat(1, total))
        ordered = sorted(zip(keys, counts, strict=True))
        return (coarseness, *[key for key, _ in ordered], *[count for _, count in ordered])

    def finish(self, state: State, now_ms: int) -> float | None:
        if not state:
            return None
        size = len(state) // 2
        counts = state[size + 1 :]
        total = sum(counts)
        rank = -(-self.share.numerator * total // self.share.denominator)
        key = state[rank if total == size else 1 + bisect_left(list(accumulate(counts)), rank)]
        if not state[0]:
            return self.unscale(key)
        middle = middle_of(key, state[0])
        return self.unscale(middle if self.kind is Kind.FLOAT else round(middle))


def bucket_of(value: float, coarseness: int) -> int:
    """The bucket of a value: its size without the last bits, and its sign; 0 for a size below 2**-40, some 1e-12."""
    if -SMALLEST < value < SMALLEST:
        return 0
    bits: int = BITS.unpack(FLOAT.pack(abs(value)))[0] >> coarseness - 1
    return -bits if value < 0 else bits


def middle_of(bucket: int, coarseness: int) -> float:
    """The middle of a bucket's values; 0 for those around 0."""
    size = abs(bucket)
    if not size:
        return 0.0
    low, high = (FLOAT.unpack(BITS.pack(bits << coarseness - 1))[0] for bits in (size, size + 1))
    middle: float = low + (high - low) / 2
    return -middle if bucket < 0 else middle


def coarser(state: State, coarseness: int) -> Sequence[Any]:
    """The keys of a state for a coarseness that is not less than its own, in order and perhaps repeated."""
    keys = state[1 : len(state) // 2 + 1]
    if coarseness == state[0]:
        return keys
    if not state[0]:
        return [bucket_of(key, coarseness) for key in keys]
    shift = coarseness - state[0]
    return [key >> shift if key > 0 else -(-key >> shift) for key in keys]


def bounded(state: State) -> State:
    """The state with the least coarseness that leaves MAX_BUCKETS or fewer."""
    if len(state) // 2 <= MAX_BUCKETS:
        return state
    low, high = state[0] + 1, SHIFTS + 1  # the least is between them
    while low < high:
        middle = (low + high) // 2
        if len(set(coarser(state, middle))) <= MAX_BUCKETS:
            high = middle
        else:
            low = middle + 1
    size = len(state) // 2
    counts: dict[int, int] = {}
    for key, count in zip(coarser(state, low), state[size + 1 :], strict=True):
        counts[key] = counts.get(key, 0) + count
    return (low, *counts, *counts.values())
