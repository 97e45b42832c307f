"""Sketches, bounded states and floats, with more events than the laws use."""

import math
import random
from functools import reduce

import pytest

from featurestore.aggregations import (
    DecayedSum,
    DistinctCount,
    Kind,
    Quantile,
    SessionCount,
    SessionMeanDuration,
    StdDev,
    Sum,
    TopK,
)
from featurestore.aggregations.base import STATE_BYTES
from tests.aggregations.oracles import CHECKS, spans
from tests.kit.aggregations import NOW_MS, START_MS, Event, encoded, fold, stored


def events(values: list[object], step_ms: int = 60_000) -> list[Event]:
    return [Event(value, START_MS + at * step_ms, at) for at, value in enumerate(values)]


def tiles(many: list[Event], size: int) -> list[list[Event]]:
    return [many[start : start + size] for start in range(0, len(many), size)]


@pytest.mark.parametrize("distinct", [128, 129, 1_000, 10_000])
def test_distinct_count_of_many_values(distinct: int) -> None:
    shops = DistinctCount("shop").bind(Kind.TEXT)
    many = events([f"shop {number}" for number in range(distinct)])
    in_order = fold(shops, many)
    parts = [stored(shops, fold(shops, tile)) for tile in tiles(random.Random(1).sample(many, distinct), 97)]
    assert encoded(shops, in_order) == encoded(shops, reduce(shops.merge, parts))
    assert shops.answer(shops.combine(parts), NOW_MS) == distinct
    assert isinstance(in_order, bytes) is (distinct > 128)
    assert abs(shops.answer(in_order, NOW_MS) - distinct) <= (0 if distinct <= 128 else 0.06 * distinct)
    assert len(encoded(shops, in_order)) < 2_200


def test_distinct_count_is_within_the_standard_error() -> None:
    """Over 30 sets the root of the mean squared relative error is the one that the docstring states."""
    shops = DistinctCount("shop").bind(Kind.INTEGER)
    errors = []
    for seed in range(30):
        many = events([seed * 10_000 + number for number in range(3_000)])
        state = reduce(shops.merge, [fold(shops, tile) for tile in tiles(many, 1_000)])
        errors.append(shops.answer(state, NOW_MS) / 3_000 - 1)
    assert (sum(error**2 for error in errors) / len(errors)) ** 0.5 < 0.023 * 1.2


def test_top_k_of_thousands_counts_a_sample_exactly() -> None:
    chance = random.Random(2)
    names = ["gold"] * 900 + ["silver"] * 700 + ["bronze"] * 500 + [f"one of {n}" for n in range(5_000)]
    chance.shuffle(names)
    many = events(names)
    top = TopK("name", k=3).bind(Kind.TEXT)
    at_once = fold(top, many)
    CHECKS[TopK](top, at_once, many, NOW_MS)
    assert at_once[0] > 0
    parts = [stored(top, fold(top, tile)) for tile in tiles(many, 200)]
    chance.shuffle(parts)
    assert encoded(top, reduce(top.merge, parts)) == encoded(top, at_once)
    assert 3_000 < len(encoded(top, at_once)) <= STATE_BYTES


def test_top_k_over_many_tiles_is_exact_while_each_is() -> None:
    many = events([f"sku {number % 3_000}" for number in range(9_000)] + ["sku 7"] * 5)
    top = TopK("name", k=1).bind(Kind.TEXT)
    assert top.answer(top.combine([fold(top, tile) for tile in tiles(many, 200)]), NOW_MS) == ["sku 7"]


def test_quantile_of_many_values_is_within_its_error() -> None:
    chance = random.Random(3)
    amounts = [int(chance.lognormvariate(8, 1.5)) for _ in range(50_000)]
    ranked = sorted(amounts)
    for q in (0.01, 0.5, 0.99):
        quantile = Quantile("amount", q=q).bind(Kind.SCALED, 2)
        parts = [stored(quantile, fold(quantile, tile)) for tile in tiles(events(amounts), 700)]
        expected = ranked[math.ceil(q * len(ranked)) - 1] / 100
        for state in (quantile.combine(parts), reduce(quantile.merge, parts)):
            assert abs(quantile.answer(state, NOW_MS) - expected) <= 0.032 * expected + 0.005
        assert len(encoded(quantile, reduce(quantile.merge, parts))) < STATE_BYTES


def test_quantile_of_many_values_that_are_alike_is_exact_to_a_millionth() -> None:
    median = Quantile("amount", q=0.5).bind(Kind.FLOAT)
    state = fold(median, events([1_000 + number / 1_000 for number in range(1_000)]))
    assert state[0] > 0
    assert abs(median.answer(state, NOW_MS) - 1_000.499) < 0.002


def test_quantile_of_the_smallest_and_largest_floats_is_defined() -> None:
    values = [sign * size for sign in (1, -1) for size in (math.ldexp(1.0, n) for n in range(-1_074, 40))]
    median, high = (Quantile("amount", q=q).bind(Kind.FLOAT) for q in (0.5, 0.999))
    assert median.answer(fold(median, events(values)), NOW_MS) == 0
    assert 0.5 <= high.answer(fold(high, events(values)), NOW_MS) / 2**37 <= 1.5


def test_thousands_of_sessions_are_exact_in_any_order() -> None:
    chance = random.Random(4)
    many = []
    time_ms = START_MS
    for event_id_hash in range(3_000):
        time_ms += chance.choice([0, 1, 60_000, 600_000, 1_800_000, 1_800_001])
        many.append(Event(None, time_ms, event_id_hash))
    for kind in (SessionCount, SessionMeanDuration):
        visits = kind().bind(None)
        assert len(spans(visits, many)) > 200
        states = [stored(visits, fold(visits, tile)) for tile in tiles(many, 50)]
        chance.shuffle(states)
        CHECKS[kind](visits, fold(visits, many), many, NOW_MS)
        CHECKS[kind](visits, visits.combine(states), many, NOW_MS)


def test_floats_are_summed_exactly() -> None:
    chance = random.Random(5)
    values = [1e6 + chance.gauss(0, 1e-3) for _ in range(3_000)]
    many = events(values, step_ms=1_000)
    for aggregation in (
        Sum("x").bind(Kind.FLOAT),
        StdDev("x").bind(Kind.FLOAT),
        DecayedSum("x", half_life="1h").bind(Kind.FLOAT),
    ):
        check = CHECKS[type(aggregation)]
        check(aggregation, fold(aggregation, many), many, NOW_MS)
        parts = [fold(aggregation, tile) for tile in tiles(many, 333)]
        assert aggregation.combine(parts) == fold(aggregation, many[::-1]) == fold(aggregation, many)
    assert Sum("x").bind(Kind.FLOAT).answer(fold(Sum("x").bind(Kind.FLOAT), many), NOW_MS) == math.fsum(values)


def test_largest_sum_fits_64_bits_and_a_larger_one_raises() -> None:
    total = Sum("amount").bind(Kind.SCALED, 4)
    largest = 10**12 * 9_223_372
    assert stored(total, largest) < 2**63
    with pytest.raises(OverflowError):
        encoded(total, largest * 3)


def test_largest_squares_fit_64_bits_as_long_as_their_sum_does() -> None:
    spread = StdDev("amount").bind(Kind.SCALED, 4)
    state = spread.update(spread.zero(), 10**12, 0, 0)
    for _ in range(23):
        state = spread.merge(state, state)
    assert state[0] == 2**23
    assert all(part < 2**63 for part in state)
