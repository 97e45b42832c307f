"""HyperLogLog sketches beside Apache DataSketches' own: equal bytes, and estimates within its error."""

import math
import random
from collections.abc import Sequence
from functools import reduce

import pytest
from datasketches import HLL_8, hll_sketch, hll_union
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.aggregations import DistinctCount, Kind
from featurestore.aggregations.hyperloglog import (
    FEW,
    HEADER,
    REGISTERS,
    SIZE,
    SLOTS,
    VALUES,
    estimate,
    load_of,
    sketch_of,
    union,
    with_digest,
)
from tests.kit.aggregations import START_MS, Event, fold

STANDARD_ERROR = 1.04 / math.sqrt(REGISTERS)
digests = st.integers(-(2**63), 2**63 - 1)
some_digests = st.lists(digests, min_size=2, max_size=3 * SLOTS)


def apache(*parts: Sequence[int]) -> bytes:
    """The library's union of the sketches of some parts, of which two are not empty."""
    united = hll_union(11)
    for part in parts:
        sketch = hll_sketch(11, HLL_8, True)
        for digest in part:
            sketch.update(digest)
        united.update(sketch)
    return bytes(united.get_result(HLL_8).serialize_compact())


def drawn(count: int, seed: int) -> list[int]:
    chance = random.Random(seed)
    return [chance.getrandbits(64) - 2**63 for _ in range(count)]


@settings(max_examples=60, deadline=None)
@given(some_digests)
def test_sketch_is_the_bytes_of_apache_datasketches(some: list[int]) -> None:
    assert sketch_of(some) == apache(some[:1], some[1:])
    assert len(sketch_of(some)) == SIZE


@settings(max_examples=60, deadline=None)
@given(some_digests, some_digests)
def test_union_is_the_bytes_of_apache_datasketches(some: list[int], others: list[int]) -> None:
    expected = apache(some, others)
    assert union([sketch_of(some), sketch_of(others)]) == union([sketch_of(others), sketch_of(some)]) == expected
    assert reduce(with_digest, others, sketch_of(some)) == expected


@pytest.mark.parametrize("count", [129, 1_000, 20_000, 300_000])
def test_sketch_of_many_is_the_bytes_of_apache_datasketches(count: int) -> None:
    many = drawn(count, seed=count)
    expected = apache(many[::2], many[1::2])
    assert sketch_of(many) == union(map(sketch_of, (many[::3], many[1::3], many[2::3]))) == expected
    theirs = hll_sketch.deserialize(expected)
    assert theirs.get_lower_bound(1) < estimate(expected) < theirs.get_upper_bound(1)
    assert theirs.get_lower_bound(3) < count < theirs.get_upper_bound(3)
    assert estimate(expected) == pytest.approx(theirs.get_estimate(), rel=0.005)


def test_state_of_distinct_count_is_read_by_apache_datasketches() -> None:
    shops = DistinctCount("shop").bind(Kind.INTEGER)
    state = fold(shops, [Event(number, START_MS, number) for number in range(500)])
    assert hll_sketch.deserialize(state).get_estimate() == pytest.approx(500, rel=0.05)


@pytest.mark.parametrize("count", [200, 1_100, 1_500, 4_000, 15_000])
def test_estimate_is_within_the_standard_error_and_unbiased(count: int) -> None:
    errors = [estimate(sketch_of(drawn(count, seed))) / count - 1 for seed in range(40)]
    assert math.sqrt(sum(error**2 for error in errors) / len(errors)) < STANDARD_ERROR * 1.25
    assert abs(sum(errors) / len(errors)) < STANDARD_ERROR / 2


def test_estimate_grows_with_the_registers() -> None:
    sketch, before = sketch_of((1,)), 0.0
    for digest in drawn(6_000, seed=1):
        sketch = with_digest(sketch, digest)
        if HEADER.unpack_from(sketch)[3] / REGISTERS > math.exp(-FEW):
            assert estimate(sketch) >= before
            before = estimate(sketch)


@pytest.mark.parametrize("load", [0.64, 1.0, 3.0, 7.9, 8.1, 500.0, 1e9])
def test_load_is_the_one_whose_expected_mean_is_given(load: float) -> None:
    mean = sum(math.exp(-load / 2**n) / 2 ** (n + 1) for n in range(80))
    assert load_of(mean) == pytest.approx(load, rel=1e-4)


def test_register_of_a_hash_without_a_bit_is_the_largest() -> None:
    assert [VALUES[length] for length in (0, 1, 2, 3, 63, 64, 65)] == [63, 63, 63, 62, 2, 1, 0]
