"""Laws of featurestore.aggregations.base, for every aggregation."""

import json
from collections import Counter
from collections.abc import Sequence
from functools import reduce
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.aggregations import Aggregation, Cell, First, Kind, Last, LastN, TopK, all_aggregations
from tests.aggregations.oracles import CHECKS
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


def assert_equal(aggregation: Aggregation, events: Events, *states: Any) -> None:
    """States of the same events are equal to the byte, and right within the stated error."""
    assert len({encoded(aggregation, state) for state in states}) == 1
    check(aggregation, states[0], events)


@tries
@given(st.data())
def test_zero_is_neutral(kind: type[Aggregation], data: st.DataObject) -> None:
    aggregation, events = aggregation_and_events(data, kind)
    state = fold(aggregation, events)
    for kept in (state, stored(aggregation, state)):
        for zero in (aggregation.zero(), stored(aggregation, aggregation.zero())):
            assert encoded(aggregation, aggregation.merge(zero, kept)) == encoded(aggregation, state)
            assert encoded(aggregation, aggregation.merge(kept, zero)) == encoded(aggregation, state)
            assert aggregation.answer(aggregation.combine([zero, kept, zero]), NOW_MS) == aggregation.answer(
                state, NOW_MS
            )


@tries
@given(st.data())
def test_merge_is_commutative_and_associative(kind: type[Aggregation], data: st.DataObject) -> None:
    aggregation, events = aggregation_and_events(data, kind)
    one, two = sorted([data.draw(st.integers(0, len(events))), data.draw(st.integers(0, len(events)))])
    a, b, c = (fold(aggregation, part) for part in (events[:one], events[one:two], events[two:]))
    merge = aggregation.merge
    both = (merge(a, b), merge(b, a), merge(stored(aggregation, a), b), merge(a, stored(aggregation, b)))
    assert_equal(aggregation, events[:two], *both)
    assert_equal(aggregation, events, merge(merge(a, b), c), merge(a, merge(b, c)))


@tries
@given(st.data())
def test_update_is_merge_with_the_state_of_one_event(kind: type[Aggregation], data: st.DataObject) -> None:
    aggregation, events = aggregation_and_events(data, kind)
    state = fold(aggregation, events[:-1])
    one = fold(aggregation, events[-1:])
    for kept in (state, stored(aggregation, state)):
        updated = fold(aggregation, events[-1:], kept)
        assert_equal(aggregation, events, updated, aggregation.merge(kept, one))


@tries
@given(st.data())
def test_order_and_partition_of_events_do_not_matter(kind: type[Aggregation], data: st.DataObject) -> None:
    aggregation, events = aggregation_and_events(data, kind)
    parts = data.draw(in_parts(events), "parts")
    folded = [fold(aggregation, part) for part in parts]
    updated = aggregation.zero()
    for part in parts:  # stored and read between the parts, as between micro-batches
        updated = stored(aggregation, fold(aggregation, part, updated))
    assert_equal(
        aggregation,
        events,
        fold(aggregation, events),
        updated,
        reduce(aggregation.merge, folded, aggregation.zero()),
        reduce(aggregation.merge, [stored(aggregation, part) for part in reversed(folded)]),
        aggregation.merge_all(folded),
        aggregation.merge_all([stored(aggregation, part) for part in reversed(folded)]),
    )


@tries
@given(st.data())
def test_answer_over_several_tiles_is_right_in_any_order(kind: type[Aggregation], data: st.DataObject) -> None:
    aggregation, events = aggregation_and_events(data, kind)
    tiles = [fold(aggregation, part) for part in data.draw(in_parts(events), "tiles")]
    states = [aggregation.combine(tiles), aggregation.combine(reversed(tiles))]
    first, other = (msgspec.json.encode(aggregation.answer(state, NOW_MS)) for state in states)
    assert first == other
    if not isinstance(aggregation, TopK):
        check(aggregation, states[0], events)
    elif not states[0][0]:  # else tiles may have left out different values
        counts = Counter(event.value for event in events)
        ranked = sorted(counts, key=lambda value: (-counts[value], value))[: aggregation.k]
        assert json.loads(first) == [aggregation.unscale(value) for value in ranked]


@tries
@given(st.data())
def test_answer_equals_that_of_the_raw_events(kind: type[Aggregation], data: st.DataObject) -> None:
    aggregation, events = aggregation_and_events(data, kind)
    state = fold(aggregation, events)
    now_ms = data.draw(st.integers(START_MS - 300_000, NOW_MS), "now")
    check(aggregation, stored(aggregation, state), events, now_ms)
    answer = aggregation.answer(state, now_ms)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert json.dumps(answer) == json.dumps(aggregation.answer(stored(aggregation, state), now_ms))


@tries
@given(st.data())
def test_states_fit_their_cells(kind: type[Aggregation], data: st.DataObject) -> None:
    aggregation, events = aggregation_and_events(data, kind)
    state = fold(aggregation, events)
    assert_fits(aggregation.cells, state)
    assert_fits(aggregation.suffix_cells, aggregation.suffix_state(state))
    assert Cell.WIDE not in aggregation.suffix_cells
    assert not aggregation.growing or aggregation.cells == (Cell.BLOB,)
    assert aggregation.keeps is None or aggregation.keeps == 1 or aggregation.growing


def assert_fits(cells: Sequence[Cell], state: Any) -> None:
    """A state's parts are of the kinds of their cells."""
    parts = [state] if len(cells) == 1 else list(state)
    assert len(parts) == len(cells)
    for cell, part in zip(cells, parts, strict=True):
        if cell is Cell.INT:
            assert part is None or (type(part) is int and part in INT64)
        elif cell is Cell.FLOAT:
            assert part is None or part == float(part)
        elif cell is Cell.WIDE:
            assert type(part) is int
        else:
            flat = part if isinstance(part, list | tuple) else [part]
            assert all(isinstance(item, int | float | str | bytes | None) for item in flat)
            assert all(item in INT64 for item in flat if isinstance(item, int))


@tries
@given(st.data())
def test_state_of_a_tile_is_within_its_bound(kind: type[Aggregation], data: st.DataObject) -> None:
    aggregation, events = aggregation_and_events(data, kind)
    tile_s = data.draw(st.sampled_from([60, 43_200, 86_400]))
    events = [event._replace(time_ms=START_MS + (event.time_ms - START_MS) % (tile_s * 1000)) for event in events]
    value_bytes = max((len(msgspec.msgpack.encode(event.value)) for event in events), default=0)
    most_bytes = aggregation.most_bytes(tile_s, value_bytes)
    assert most_bytes is not None
    assert len(encoded(aggregation, fold(aggregation, events))) <= most_bytes + len(aggregation.cells) * 4 + 4


@tries
@given(st.data())
def test_weight_grows_with_events_and_is_never_below_the_size(kind: type[Aggregation], data: st.DataObject) -> None:
    aggregation, events = aggregation_and_events(data, kind)
    state, most_bytes = aggregation.zero(), 50_000
    weights = [0]
    for event in events:
        state = fold(aggregation, [event], state)
        size = len(msgspec.msgpack.encode(stored(aggregation, state))) if aggregation.weighed else 0
        weights.append(aggregation.weight(state, size, most_bytes) if aggregation.weighed else 0)
        assert weights[-1] >= max(size, weights[-2])
        if aggregation.weighed and aggregation.inflation is not None:
            assert weights[-1] in (size, most_bytes)
            assert weights[-1] == size or (aggregation.most_bytes(60, 0) or 0) <= size * aggregation.inflation


@tries
@given(st.data())
def test_states_are_never_changed_in_place(kind: type[Aggregation], data: st.DataObject) -> None:
    aggregation, events = aggregation_and_events(data, kind)
    a, b = (stored(aggregation, fold(aggregation, part)) for part in (events, events[::2]))
    before = [encoded(aggregation, a), encoded(aggregation, b)]
    aggregation.merge(a, b)
    aggregation.combine([a, b])
    fold(aggregation, events[:3], a)
    aggregation.answer(a, NOW_MS)
    assert [encoded(aggregation, a), encoded(aggregation, b)] == before


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
        for zero in (aggregation.zero(), stored(aggregation, aggregation.zero()), aggregation.combine([])):
            assert aggregation.answer(zero, NOW_MS) == aggregation.empty
