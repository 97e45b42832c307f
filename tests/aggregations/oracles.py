"""Oracles of the aggregations: the right answer, computed from the list of all events in plain Python.

A check takes an aggregation, a state, the events of the state, and now; it asserts that the state's answer is right
within the error that the aggregation states. LOOSE has, for some, the condition under which states are not exact.
"""

import math
import statistics
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

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
    sessions,
    top_k,
)
from tests.kit.aggregations import PLACES, Event, Events

Check = Callable[[Any, Any, Events, int], None]
CHECKS: dict[type[Aggregation], Check] = {}
LOOSE: dict[type[Aggregation], Callable[[Any, Events], bool]] = {
    Quantile: lambda aggregation, events: len(events) > quantile.MAX_EXACT,
    TopK: lambda aggregation, events: len({event.value for event in events}) > top_k.COUNTERS,
    SessionCount: lambda aggregation, events: len(spans(aggregation, events)) > sessions.MAX_OPEN,
    SessionMeanDuration: lambda aggregation, events: len(spans(aggregation, events)) > sessions.MAX_OPEN,
}


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
    assert aggregation.finish(state, now_ms) == len(events)


@check_of(Sum)
def sum_(aggregation: Sum, state: Any, events: Events, now_ms: int) -> None:
    values = [event.value for event in events]
    answer = aggregation.finish(state, now_ms)
    if aggregation.kind is Kind.FLOAT:
        assert near(answer, math.fsum(values), 1e-9 * math.fsum(map(abs, values)))
    else:
        assert answer == in_unit(aggregation, sum(values))


@check_of(Mean)
def mean(aggregation: Mean, state: Any, events: Events, now_ms: int) -> None:
    values = [in_unit(aggregation, event.value) for event in events]
    answer = aggregation.finish(state, now_ms)
    if not values:
        assert answer is None
    else:
        size = 1e-9 if aggregation.kind is Kind.FLOAT else 1e-15
        assert near(answer, math.fsum(values) / len(values), size * math.fsum(map(abs, values)))


@check_of(Min)
def min_(aggregation: Min, state: Any, events: Events, now_ms: int) -> None:
    expected = min((in_unit(aggregation, event.value) for event in events), default=None)
    assert aggregation.finish(state, now_ms) == expected


@check_of(Max)
def max_(aggregation: Max, state: Any, events: Events, now_ms: int) -> None:
    expected = max((in_unit(aggregation, event.value) for event in events), default=None)
    assert aggregation.finish(state, now_ms) == expected


@check_of(Variance, StdDev)
def spread(aggregation: Variance, state: Any, events: Events, now_ms: int) -> None:
    answer = aggregation.finish(state, now_ms)
    values = [event.value for event in events]
    if len(values) <= aggregation.sample:
        assert answer is None
        return
    exactly = statistics.variance if aggregation.sample else statistics.pvariance
    deviation = answer if isinstance(aggregation, StdDev) else math.sqrt(answer)
    shift = 1e-12 * max(map(abs, values)) * (2 if aggregation.sample else 1)
    assert near(deviation, in_unit(aggregation, math.sqrt(exactly(values))), in_unit(aggregation, shift) + 1e-150)


@check_of(First)
def first(aggregation: First, state: Any, events: Events, now_ms: int) -> None:
    expected = in_unit(aggregation, min(events, key=age).value) if events else None
    assert aggregation.finish(state, now_ms) == expected


@check_of(Last)
def last(aggregation: Last, state: Any, events: Events, now_ms: int) -> None:
    expected = in_unit(aggregation, max(events, key=age).value) if events else None
    assert aggregation.finish(state, now_ms) == expected


@check_of(LastN)
def last_n(aggregation: LastN, state: Any, events: Events, now_ms: int) -> None:
    newest = sorted(events, key=age, reverse=True)[: aggregation.n]
    assert aggregation.finish(state, now_ms) == [in_unit(aggregation, event.value) for event in newest]


@check_of(DistinctCount)
def distinct(aggregation: DistinctCount, state: Any, events: Events, now_ms: int) -> None:
    expected = len({event.value for event in events})
    answer = aggregation.finish(state, now_ms)
    if expected <= distinct_count.MAX_EXACT:
        assert answer == expected
    else:
        assert abs(answer - expected) <= 5 * 0.023 * expected


@check_of(TopK)
def top(aggregation: TopK, state: Any, events: Events, now_ms: int) -> None:
    counts = Counter(event.value for event in events)
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    answer = aggregation.finish(state, now_ms)
    if len(counts) <= top_k.COUNTERS:
        assert answer == [in_unit(aggregation, value) for value in ranked[: aggregation.k]]
    low, size = state[0], len(state) // 2
    kept = dict(zip(state[1 : size + 1], state[size + 1 :], strict=True))
    assert low <= len(events) / (top_k.COUNTERS + 1)
    assert all(counts[value] - low <= kept.get(value, 0) <= counts[value] for value in counts.keys() | kept.keys())
    assert answer == [in_unit(aggregation, v) for v in sorted(kept, key=lambda v: (-kept[v], v))[: aggregation.k]]


@check_of(Quantile)
def quantile_(aggregation: Quantile, state: Any, events: Events, now_ms: int) -> None:
    values = sorted(event.value for event in events)
    answer = aggregation.finish(state, now_ms)
    if not values:
        assert answer is None
        return
    exact = len(values) <= quantile.MAX_EXACT
    off = 0 if exact else 0.04 * len(values)  # three times what 99 of 100 keep to, for thousands of tries
    rank = float(aggregation.share) * len(values) if not exact else math.ceil(aggregation.share * len(values))
    low = values[max(0, math.ceil(rank - off) - 1)]
    high = values[min(len(values), math.ceil(rank + off)) - 1]
    assert in_unit(aggregation, low) <= answer <= in_unit(aggregation, high)


@check_of(DecayedCount, DecayedSum)
def decayed(aggregation: DecayedCount | DecayedSum, state: Any, events: Events, now_ms: int) -> None:
    answer = aggregation.finish(state, now_ms)
    if not events:
        assert answer == 0
        return
    as_of_ms = max(now_ms, max(event.time_ms for event in events))
    parts = [
        (in_unit(aggregation, event.value) if isinstance(aggregation, DecayedSum) else 1)
        * 2 ** ((event.time_ms - as_of_ms) / aggregation.half_life_ms)
        for event in events
    ]
    assert near(answer, math.fsum(parts), 1e-9 * math.fsum(map(abs, parts)))


@check_of(TimeSinceLast)
def since(aggregation: TimeSinceLast, state: Any, events: Events, now_ms: int) -> None:
    expected = max(0, now_ms - max(event.time_ms for event in events)) / 1000 if events else None
    assert aggregation.finish(state, now_ms) == expected


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
    expected = len(spans(aggregation, events))
    answer = aggregation.finish(state, now_ms)
    assert answer == expected or sessions.MAX_OPEN < expected < answer <= len(events)


@check_of(SessionMeanDuration)
def session_mean(aggregation: SessionMeanDuration, state: Any, events: Events, now_ms: int) -> None:
    expected = spans(aggregation, events)
    answer = aggregation.finish(state, now_ms)
    if len(expected) > sessions.MAX_OPEN:
        assert 0 <= answer <= max(expected) / 1000
    else:
        assert answer == (sum(expected) / len(expected) / 1000 if expected else None)
