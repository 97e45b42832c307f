"""Laws of featurestore.aggregations.base, for every aggregation."""

import json
from functools import reduce
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.aggregations import Aggregation, Cell, First, Kind, Last, LastN, all_aggregations
from tests.aggregations.oracles import CHECKS, LOOSE
from tests.kit.aggregations import (
    NOW_MS,
    START_MS,
    Event,
    Events,
    encoded,
    events_for,
    examples,
    fold,
    in_parts,
    stored,
)

pytestmark = pytest.mark.parametrize("kind", all_aggregations(), ids=lambda kind: kind.__name__)
tries = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
INT64 = range(-(2**63), 2**63)


def aggregation_and_events(data: st.DataObject, kind: type[Aggregation]) -> tuple[Aggregation, list[Any]]:
    aggregation = data.draw(st.sampled_from(examples(kind)), "aggregation")
    return aggregation, data.draw(events_for(aggregation), "events")


def check(aggregation: Aggregation, state: Any, events: Events, now_ms: int = NOW_MS) -> None:
    assert type(aggregation) in CHECKS, f"add a check of {aggregation!r} to tests/aggregations/oracles.py"
    CHECKS[type(aggregation)](aggregation, state, events, now_ms)


def assert_equal(aggregation: Aggregation, events: Events, *states: Any, regrouped: bool = True) -> None:
    """States of the same events: equal to the byte if exact, and otherwise each right within the stated error.

    Bounded states that are not ``regrouped``, so that they lost the same events, are equal unless they draw randomised.
    """
    loose = LOOSE.get(type(aggregation))
    randomised = any(isinstance(state, bytes) for state in states)
    if aggregation.exact or (loose and (not loose(aggregation, events) or not (regrouped or randomised))):
        assert len({encoded(state) for state in states}) == 1
    for state in states:
        check(aggregation, state, events)


@tries
@given(st.data())
def test_zero_is_neutral(kind: type[Aggregation], data: st.DataObject) -> None:
    aggregation, events = aggregation_and_events(data, kind)
    state = fold(aggregation, events)
    for kept in (state, stored(state)):
        for zero in (aggregation.zero(), stored(aggregation.zero())):
            assert encoded(aggregation.merge(zero, kept)) == encoded(state)
            assert encoded(aggregation.merge(kept, zero)) == encoded(state)
            assert encoded(aggregation.combine([zero, kept, zero])) == encoded(state) or not aggregation.exact


@tries
@given(st.data())
def test_merge_is_commutative_and_associative(kind: type[Aggregation], data: st.DataObject) -> None:
    aggregation, events = aggregation_and_events(data, kind)
    one, two = sorted([data.draw(st.integers(0, len(events))), data.draw(st.integers(0, len(events)))])
    a, b, c = (fold(aggregation, part) for part in (events[:one], events[one:two], events[two:]))
    merge = aggregation.merge
    both = (merge(a, b), merge(b, a), merge(stored(a), b), merge(a, stored(b)))
    assert_equal(aggregation, events[:two], *both, regrouped=False)
    assert_equal(aggregation, events, merge(merge(a, b), c), merge(a, merge(b, c)), aggregation.combine([a, b, c]))


@tries
@given(st.data())
def test_update_is_merge_with_the_state_of_one_event(kind: type[Aggregation], data: st.DataObject) -> None:
    aggregation, events = aggregation_and_events(data, kind)
    state = fold(aggregation, events[:-1])
    one = fold(aggregation, events[-1:])
    for kept in (state, stored(state)):
        updated = fold(aggregation, events[-1:], kept)
        assert_equal(aggregation, events, updated, aggregation.merge(kept, one), regrouped=False)


@tries
@given(st.data())
def test_order_and_partition_of_events_do_not_matter(kind: type[Aggregation], data: st.DataObject) -> None:
    aggregation, events = aggregation_and_events(data, kind)
    parts = data.draw(in_parts(events), "parts")
    folded = [fold(aggregation, part) for part in parts]
    updated = aggregation.zero()
    for part in parts:  # stored and read between the parts, as between micro-batches
        updated = stored(fold(aggregation, part, updated))
    assert_equal(
        aggregation,
        events,
        fold(aggregation, events),
        updated,
        reduce(aggregation.merge, folded, aggregation.zero()),
        reduce(aggregation.merge, map(stored, reversed(folded))),
        aggregation.combine(folded),
    )


@tries
@given(st.data())
def test_answer_equals_that_of_the_raw_events(kind: type[Aggregation], data: st.DataObject) -> None:
    aggregation, events = aggregation_and_events(data, kind)
    state = fold(aggregation, events)
    now_ms = data.draw(st.integers(START_MS - 300_000, NOW_MS), "now")
    check(aggregation, stored(state), events, now_ms)
    answer = aggregation.finish(state, now_ms)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert encoded(answer) == encoded(aggregation.finish(stored(state), now_ms))


@tries
@given(st.data())
def test_states_fit_their_cells(kind: type[Aggregation], data: st.DataObject) -> None:
    aggregation, events = aggregation_and_events(data, kind)
    state = fold(aggregation, events)
    parts = [state] if len(aggregation.cells) == 1 else list(state)
    assert len(parts) == len(aggregation.cells)
    for cell, part in zip(aggregation.cells, parts, strict=True):
        if cell is Cell.INT:
            assert part is None or (type(part) is int and part in INT64)
        elif cell is Cell.FLOAT:
            assert part is None or part == float(part)
        else:
            msgspec.json.encode(stored(part))
            flat = part if isinstance(part, list | tuple) else [part]
            assert all(isinstance(item, int | float | str | bytes | None) for item in flat)
            assert all(item in INT64 for item in flat if isinstance(item, int))
    assert not aggregation.growing or aggregation.cells == (Cell.BLOB,)
    assert len(encoded(state)) < 4096


@tries
@given(st.data())
def test_states_are_never_changed_in_place(kind: type[Aggregation], data: st.DataObject) -> None:
    aggregation, events = aggregation_and_events(data, kind)
    a, b = stored(fold(aggregation, events)), stored(fold(aggregation, events[::2]))
    before = encoded([a, b])
    aggregation.merge(a, b)
    aggregation.combine([a, b])
    fold(aggregation, events[:3], a)
    aggregation.finish(a, NOW_MS)
    assert encoded([a, b]) == before


def test_negative_zero_counts_as_zero(kind: type[Aggregation]) -> None:
    """0.0 and -0.0 are equal, so the state must not depend on which came first."""
    if Kind.FLOAT not in kind.takes or kind in (First, Last, LastN):  # they keep both
        return
    for aggregation in examples(kind):
        if aggregation.kind is Kind.FLOAT:
            plus, minus = Event(0.0, START_MS, 1), Event(-0.0, START_MS, 2)
            assert_equal(aggregation, [plus, minus], fold(aggregation, [plus, minus]), fold(aggregation, [minus, plus]))


def test_answer_of_no_events_is_empty(kind: type[Aggregation]) -> None:
    for aggregation in examples(kind):
        for zero in (aggregation.zero(), stored(aggregation.zero()), aggregation.combine([])):
            assert aggregation.finish(zero, NOW_MS) == aggregation.empty
