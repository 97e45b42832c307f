"""Packed tables: every cell can be read by itself."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from featurestore.aggregations.base import Cell
from featurestore.tiles.cell_codecs import PACKERS
from featurestore.tiles.packed_table import DUPLICATE_COLUMN, PackedTable, pack_table
from tests.tiles.test_cell_codecs import CELLS

Column = tuple[Cell, list[Any]]


@st.composite
def tables(draw: st.DrawFn) -> list[Column]:
    """Columns with equally many rows, often in runs, often equal to an earlier one."""
    lengths = draw(st.lists(st.integers(1, 30), min_size=1, max_size=6))
    made: list[Column] = []
    for _ in range(draw(st.integers(1, 6))):
        if made and draw(st.booleans()):
            made.append(draw(st.sampled_from(made)))
            continue
        kind = draw(st.sampled_from(list(CELLS)))
        if draw(st.booleans()):
            cells = [value for length in lengths for value in [draw(CELLS[kind])] * length]
        else:
            cells = draw(st.lists(CELLS[kind], min_size=sum(lengths), max_size=sum(lengths)))
        made.append((kind, cells))
    return made


@given(tables(), st.binary(max_size=5), st.binary(max_size=5))
def test_every_cell_and_column_is_unpacked(made: list[Column], before: bytes, behind: bytes) -> None:
    raw = pack_table([PACKERS[kind] for kind, _ in made], [cells for _, cells in made])
    rows = len(made[0][1])
    table = PackedTable(before + raw + behind, len(before), len(made), rows)
    for number, (kind, cells) in enumerate(made):
        assert table.column(number) == cells
        if kind is not Cell.BLOB:
            assert [table.number(number, row) for row in range(rows)] == cells


def test_duplicate_column_takes_two_bytes() -> None:
    packer = PACKERS[Cell.INT]
    cells = list(range(300))
    once, twice = pack_table([packer], [cells]), pack_table([packer, packer], [cells, cells])
    assert len(twice) == len(once) + 2
    assert chr(twice[1]) == DUPLICATE_COLUMN
