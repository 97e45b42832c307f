"""Codecs of columns of cells: unpacked as they were packed, in few bytes."""

import math
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.aggregations.base import Cell
from featurestore.tiles import cell_codecs

integers = st.none() | st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(-200, 200)
floats = st.none() | st.floats(allow_nan=False).map(lambda value: value + 0.0)
blobs = st.binary(max_size=12) | st.just(b"") | st.binary(min_size=300, max_size=400)
CELLS = {Cell.INT: integers, Cell.FLOAT: floats, Cell.BLOB: blobs}


@st.composite
def column(draw: st.DrawFn) -> tuple[Cell, list[Any]]:
    """Cells of one kind, often in runs of equal ones."""
    cell = draw(st.sampled_from(list(CELLS)))
    runs = draw(st.lists(st.tuples(CELLS[cell], st.integers(1, 30)), min_size=1, max_size=12))
    return cell, [value for value, length in runs for _ in range(length)]


@given(column(), st.binary(max_size=5), st.binary(max_size=5))
def test_packed_cells_are_unpacked_at_any_offset(packed: tuple[Cell, list[Any]], before: bytes, behind: bytes) -> None:
    cell, values = packed
    code, raw = cell_codecs.pack(cell_codecs.PACKERS[cell], values)
    table, at = before + raw + behind, len(before)
    assert cell_codecs.unpack(code, table, at, len(values)) == (values, at + len(raw))
    assert cell_codecs.column_end(code, table, at, len(values)) == at + len(raw)


@given(column())
def test_run_length_and_constant_codes_save_bytes(packed: tuple[Cell, list[Any]]) -> None:
    cell, values = packed
    runs = len(list(groupby(values)))
    code, raw = cell_codecs.pack(cell_codecs.PACKERS[cell], values)
    if runs == 1:
        assert code.isupper()
    if code.isdigit():
        assert len(raw) < len(cell_codecs.PACKERS[cell](values)[1])


@pytest.mark.parametrize(
    ("values", "code", "size"),
    [
        ([1, 127], "b", 2),
        ([1, -127], "b", 2),
        ([1, -128], "h", 4),  # the least 8-bit integer is None
        ([1, 2**31], "q", 16),
        ([None, 2**15], "i", 8),
        ([7, 7, 7], "B", 1),
        ([None, None], "B", 1),
        ([0] * 10 + [900] * 10, "1", 2 + 4 + 4),
        ([None], "B", 1),
        ([-128], "H", 2),
        ([-(2**63) + 1], "Q", 8),
    ],
)
def test_integers_take_the_fewest_bytes(values: list[int | None], code: str, size: int) -> None:
    packed = cell_codecs.pack(cell_codecs.pack_integers, values)
    assert (packed[0], len(packed[1])) == (code, size)


@pytest.mark.parametrize("value", [2**63, -(2**63), 2**200])
def test_integer_of_more_than_64_bits_raises(value: int) -> None:
    with pytest.raises(OverflowError):
        cell_codecs.pack(cell_codecs.pack_integers, [0, value])
    with pytest.raises(OverflowError, match=f"no integer of {value.bit_length()} bits"):
        cell_codecs.pack(cell_codecs.pack_integers, [value])


@given(st.one_of(integers, floats))
def test_one_cell_is_packed_as_many_equal_ones(value: Any) -> None:
    pack = cell_codecs.pack_floats if isinstance(value, float) else cell_codecs.pack_integers
    assert pack([value]) == pack([value, value])


def test_infinite_floats_are_unpacked_unchanged() -> None:
    code, raw = cell_codecs.pack(cell_codecs.pack_floats, [math.inf, None, -math.inf])
    assert cell_codecs.unpack(code, raw, 0, 3)[0] == [math.inf, None, -math.inf]
