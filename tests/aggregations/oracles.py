"""Oracles of the aggregations: the right answer, computed from the list of all events in plain Python.

A check takes an aggregation, a state, the events of the state, and now; it asserts that the state's answer is right
within the error that the aggregation states. Where it divides, it is held to fractions: the answer is the float nearest
to the exact quotient.
"""

import math
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any

import msgspec

from featurestore.aggregations import (
    Aggregation,
    Count,
    DecayedCount,
    DecayedSum,
    DistinctCount,
    First,
    Kind,
    Last,
    LastN,
    LastOrNull,
    Max,
    Mean,
    Min,
    Quantile,
    SessionCount,
    SessionMeanDuration,
    StdDev,
    Sum,
    TimeSinceLast,
    TopK,
    Variance,
    distinct_count,
    quantile,
    top_k,
)
from featurestore.aggregations.wide import UNITS, units_of
from tests.kit.aggregations import PLACES, Event, Events

Check = Callable[[Any, Any, Events, int], None]
CHECKS: dict[type[Aggregation], Check] = {}


def check_of(*aggregations: type[Aggregation]) -> Callable[[Check], Check]:
    """Registers a function as the check of aggregations."""

    def register(check: Check) -> Check:
        CHECKS.update(dict.fromkeys(aggregations, check))
        return check

    return register


def in_unit(aggregation: Aggregation, value: Any) -> Any:
    """A value in the unit of an answer."""
    return value / 10**PLACES if aggregation.kind is Kind.SCALED else value


def age(event: Event) -> tuple[int, int]:
    return event.time_ms, event.event_id_hash


def near(answer: float, expected: float, within: float) -> bool:
    """Equal but for an error, and the rounding of the answer itself and of numbers next to 0."""
    return abs(answer - expected) <= within + 1e-15 * abs(expected) + 1e-290


@check_of(Count)
def count(aggregation: Count, state: Any, events: Events, now_ms: int) -> None:
    assert aggregation.answer(state, now_ms) == len(events)


def exact(aggregation: Aggregation, value: Any) -> Fraction:
    """A value in the unit of an answer, exactly; of a float, what counts of it."""
    if aggregation.kind is Kind.FLOAT:
        return Fraction(units_of(value), UNITS)
    return Fraction(value, 10**PLACES if aggregation.kind is Kind.SCALED else 1)


@check_of(Sum)
def sum_(aggregation: Sum, state: Any, events: Events, now_ms: int) -> None:
    total = sum((exact(aggregation, event.value) for event in events), Fraction())
    answer = aggregation.answer(state, now_ms)
    assert answer == (int(total) if aggregation.kind is Kind.INTEGER else float(total))
    if aggregation.kind is Kind.FLOAT:
        assert near(answer, math.fsum(event.value for event in events), 1e-25)


@check_of(Mean)
def mean(aggregation: Mean, state: Any, events: Events, now_ms: int) -> None:
    values = [exact(aggregation, event.value) for event in events]
    expected = float(sum(values) / len(values)) if values else None
    assert aggregation.answer(state, now_ms) == expected


@check_of(Min)
def min_(aggregation: Min, state: Any, events: Events, now_ms: int) -> None:
    expected = min((in_unit(aggregation, event.value) for event in events), default=None)
    assert aggregation.answer(state, now_ms) == expected


@check_of(Max)
def max_(aggregation: Max, state: Any, events: Events, now_ms: int) -> None:
    expected = max((in_unit(aggregation, event.value) for event in events), default=None)
    assert aggregation.answer(state, now_ms) == expected


@check_of(Variance, StdDev)
def spread(aggregation: Variance, state: Any, events: Events, now_ms: int) -> None:
    answer = aggregation.answer(state, now_ms)
    values = [exact(aggregation, event.value) for event in events]
    if len(values) <= aggregation.sample:
        assert answer is None
        return
    squares, total = sum(value**2 for value in values), sum(values)
    variance = (squares - total**2 / Fraction(len(values))) / (len(values) - aggregation.sample)
    if isinstance(aggregation, StdDev):
        assert is_nearest_root(answer, variance)
    else:
        assert answer == float(variance)


def is_nearest_root(root: float, square: Fraction) -> bool:
    """Whether no other float is nearer to the square root of a fraction."""
    below, above = (Fraction(math.nextafter(root, towards)) for towards in (-math.inf, math.inf))
    lower, upper = (Fraction(root) + below) / 2, (Fraction(root) + above) / 2
    return (lower <= 0 or lower**2 <= square) and square <= upper**2


@check_of(LastOrNull)
def last_or_null(aggregation: LastOrNull, state: Any, events: Events, now_ms: int) -> None:
    latest = max(events, key=age).value if events else None
    assert aggregation.answer(state, now_ms) == (None if latest is None else in_unit(aggregation, latest))


@check_of(First)
def first(aggregation: First, state: Any, events: Events, now_ms: int) -> None:
    expected = in_unit(aggregation, min(events, key=age).value) if events else None
    assert aggregation.answer(state, now_ms) == expected


@check_of(Last)
def last(aggregation: Last, state: Any, events: Events, now_ms: int) -> None:
    expected = in_unit(aggregation, max(events, key=age).value) if events else None
    assert aggregation.answer(state, now_ms) == expected


@check_of(LastN)
def last_n(aggregation: LastN, state: Any, events: Events, now_ms: int) -> None:
    newest = sorted(events, key=age, reverse=True)[: aggregation.n]
    assert aggregation.answer(state, now_ms) == [in_unit(aggregation, event.value) for event in newest]


@check_of(DistinctCount)
def distinct(aggregation: DistinctCount, state: Any, events: Events, now_ms: int) -> None:
    expected = len({event.value for event in events})
    answer = aggregation.answer(state, now_ms)
    if expected <= distinct_count.MAX_EXACT:
        assert answer == expected
    else:
        assert abs(answer - expected) <= 5 * 0.023 * expected


@check_of(TopK)
def top(aggregation: TopK, state: Any, events: Events, now_ms: int) -> None:
    counts = Counter(event.value for event in events)
    size = len(state) // 2 - 1
    kept = dict(zip(state[2 : size + 2], state[size + 2 :], strict=True))
    assert all(counts[value] == count for value, count in kept.items())
    assert state[0] == len(events) - sum(kept.values())
    by_hash = sorted(
        (top_k.hash_of(raw), value, len(raw) + 5) for value in counts if (raw := msgspec.msgpack.encode(value))
    )
    ends = accumulate(bytes_ for _, _, bytes_ in by_hash)
    bound = next((hashed for (hashed, _, _), end in zip(by_hash, ends, strict=True) if end > top_k.VALUES_BYTES), 0)
    assert kept == {value: counts[value] for hashed, value, _ in by_hash if not bound or hashed < bound}
    ranked = sorted(kept, key=lambda value: (-kept[value], value))
    assert aggregation.answer(state, now_ms) == [in_unit(aggregation, value) for value in ranked[: aggregation.k]]


@check_of(Quantile)
def quantile_(aggregation: Quantile, state: Any, events: Events, now_ms: int) -> None:
    values = sorted(event.value for event in events)
    answer = aggregation.answer(state, now_ms)
    if not values:
        assert answer is None
        return
    expected = values[max(0, math.ceil(aggregation.share * len(values)) - 1)]
    if len(set(values)) <= quantile.MAX_BUCKETS:
        assert answer == in_unit(aggregation, expected)
        return
    sizes = [abs(value) for value in values if value]
    octaves = 2 * (math.log2(max(sizes) / min(sizes)) + 2)  # of both signs
    bits = math.floor(math.log2(quantile.MAX_BUCKETS / octaves))  # of a bucket's mantissa, at least
    rounding = 0 if aggregation.kind is Kind.FLOAT else in_unit(aggregation, 0.5)
    assert near(
        answer, in_unit(aggregation, expected), in_unit(aggregation, abs(expected)) * 0.5 ** (bits + 1) + rounding
    )


@check_of(DecayedCount, DecayedSum)
def decayed(aggregation: DecayedCount | DecayedSum, state: Any, events: Events, now_ms: int) -> None:
    answer = aggregation.answer(state, now_ms)
    if not events:
        assert answer == 0
        return
    as_of_ms = max(now_ms, max(event.time_ms for event in events))
    parts = [
        (in_unit(aggregation, event.value) if isinstance(aggregation, DecayedSum) else 1)
        * 2 ** ((event.time_ms - as_of_ms) / aggregation.half_life_ms)
        for event in events
    ]
    assert near(answer, math.fsum(parts), 1e-9 * math.fsum(map(abs, parts)) + 1e-18)


@check_of(TimeSinceLast)
def since(aggregation: TimeSinceLast, state: Any, events: Events, now_ms: int) -> None:
    expected = max(0, now_ms - max(event.time_ms for event in events)) / 1000 if events else None
    assert aggregation.answer(state, now_ms) == expected


def spans(aggregation: Any, events: Events) -> list[int]:
    """The milliseconds of each session."""
    times = sorted(event.time_ms for event in events)
    if not times:
        return []
    ends = [at for at, (a, b) in enumerate(pairwise(times)) if b - a > aggregation.gap_ms] + [len(times) - 1]
    starts = [0] + [end + 1 for end in ends[:-1]]
    return [times[end] - times[start] for start, end in zip(starts, ends, strict=True)]


@check_of(SessionCount)
def session_count(aggregation: SessionCount, state: Any, events: Events, now_ms: int) -> None:
    assert aggregation.answer(state, now_ms) == len(spans(aggregation, events))


@check_of(SessionMeanDuration)
def session_mean(aggregation: SessionMeanDuration, state: Any, events: Events, now_ms: int) -> None:
    lengths = spans(aggregation, events)
    expected = float(Fraction(sum(lengths), 1000 * len(lengths))) if lengths else None
    assert aggregation.answer(state, now_ms) == expected
