r"""Table of packed columns with equally many rows, of which any cell can be read by itself. Pure.

The bytes, in this order: the encoding code of each column (featurestore.tiles.cell_codecs); the columns whose codes
alone give their length; the other columns. A column equal to an earlier one has the code DUPLICATE_COLUMN and holds the
number of that one.

>>> from featurestore.tiles.cell_codecs import pack_blobs, pack_integers
>>> raw = pack_table([pack_integers, pack_blobs, pack_integers], [[1, 2, 300], [b"x", b"", b"yz"], [1, 2, 300]])
>>> raw[:3], raw[3:9].hex(" ", 2), raw[9], raw[10:]  # codes; column 0; column 2, the number 0; column 1
(b'hs=', '0100 0200 2c01', 0, b'\x01\x00\x02xyz')
>>> table = PackedTable(raw, 0, columns=3, rows=3)
>>> table.number(2, 1), table.column(1)
(2, [b'x', b'', b'yz'])
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from featurestore.tiles import cell_codecs
from featurestore.tiles.cell_codecs import BLOB_LIMITS, CONSTANT, CONSTANT_OF, FORMATS, NULLS, RUNS_OF, WIDTHS, Packer

DUPLICATE_COLUMN = "="
MAX_DUPLICABLE = 256  # columns: the number of an earlier one is a byte
VARIABLE_LENGTH = frozenset([*RUNS_OF, *BLOB_LIMITS, *(CONSTANT[code] for code in BLOB_LIMITS)])


class NumberColumn(NamedTuple):
    """Reader of the numbers of one column: ``offset`` in bytes from the first column, ``width`` 0 if constant."""

    offset: int
    width: int
    unpack: Callable[[bytes, int], tuple[Any, ...]]
    null: int | None


def number_column(code: str, offset: int = 0) -> NumberColumn:
    return NumberColumn(offset, WIDTHS[code], cell_codecs.array(1, code).unpack_from, NULLS.get(code))


RUN_VALUES = {run_length: number_column(code) for run_length, code in RUNS_OF.items() if code not in BLOB_LIMITS}


class TableShape(NamedTuple):
    """Byte offsets of the columns of a table, as far as its encoding codes and number of rows give them."""

    numbers: list[NumberColumn | None]  # by column
    offsets: list[int]  # by column, also of duplicates
    variable: list[int]  # columns whose length is in the data
    size: int  # of the columns of fixed length


@lru_cache(maxsize=4_096)  # subjects are alike: a few sequences of codes, as many lengths as they have tiles
def table_shape(codes: str, rows: int) -> TableShape:
    numbers: list[NumberColumn | None] = []
    offsets: list[int] = []
    variable: list[int] = []
    size = 0
    for column, code in enumerate(codes):
        found = None
        offsets.append(size)
        if code == DUPLICATE_COLUMN:
            size += 1
        elif code in VARIABLE_LENGTH:
            variable.append(column)
        elif code in FORMATS:
            found = number_column(code, size)
            size += found.width * rows
        else:
            found = number_column(CONSTANT_OF[code], size)
            size += found.width
            found = found._replace(width=0)
        numbers.append(found)
    return TableShape(numbers, offsets, variable, size)


def pack_table(packers: Sequence[Packer], columns: Sequence[Sequence[Any]]) -> bytes:
    """Columns of at least one row, as bytes. Raises OverflowError for an integer of more than 64 bits."""
    no_runs = len(columns[0]) < cell_codecs.MIN_ROWS_FOR_RUNS
    codes, fixed, variable = "", list[bytes](), list[bytes]()
    numbers: dict[bytes, int] = {}
    for number, (packer, values) in enumerate(zip(packers, columns, strict=True)):
        code, raw = packer(values) if no_runs else cell_codecs.pack(packer, values)
        earlier = numbers.setdefault(raw, number) if len(raw) > 1 else number
        if earlier < number and earlier < MAX_DUPLICABLE and codes[earlier] == code:
            code, raw = DUPLICATE_COLUMN, bytes((earlier,))
        codes += code
        (variable if code in VARIABLE_LENGTH else fixed).append(raw)
    return b"".join((codes.encode(), *fixed, *variable))


class PackedTable:
    """Table that begins at a byte offset. Cells are unpacked when they are read.

    ``decoded`` is for reading windows of growing states: of a column, the number of its first rows that were read last,
    their states, and these combined. A longer window reads on, and one of as many tiles has the same state.
    """

    __slots__ = ("codes", "decoded", "offset", "offsets", "raw", "rows", "shape")

    def __init__(self, raw: bytes, offset: int, columns: int, rows: int):
        self.raw, self.rows = raw, rows
        self.decoded: dict[int, tuple[int, list[Any], Any]] = {}
        self.codes = raw[offset : offset + columns].decode()
        self.shape = table_shape(self.codes, rows)
        self.offset = offset + columns  # of the first column
        self.offsets = [self.offset + self.shape.size]  # of the columns of variable length, as far as they are known

    def number(self, column: int, row: int) -> Any:
        """One cell of a column of numbers."""
        if (found := self.shape.numbers[column]) is not None:
            offset, width, unpack, null = found
            (value,) = unpack(self.raw, self.offset + offset + row * width)
            return None if value == null or value != value else value
        if self.codes[column] == DUPLICATE_COLUMN:
            return self.number(self.raw[self.offset + self.shape.offsets[column]], row)
        _, width, unpack, null = RUN_VALUES[self.codes[column]]
        run, offset = cell_codecs.find_run(self.raw, self._offset(column), row)
        (value,) = unpack(self.raw, offset + run * width)
        return None if value == null or value != value else value

    def column(self, number: int) -> list[Any]:
        """All cells of a column, blobs as bytes."""
        if self.codes[number] == DUPLICATE_COLUMN:
            return self.column(self.raw[self.offset + self.shape.offsets[number]])
        return cell_codecs.unpack(self.codes[number], self.raw, self._offset(number), self.rows)[0]

    def _offset(self, column: int) -> int:
        if (found := self.shape.numbers[column]) is not None:
            return self.offset + found.offset
        variable, offsets = self.shape.variable, self.offsets
        at = variable.index(column)
        while len(offsets) <= at:
            code = self.codes[variable[len(offsets) - 1]]
            offsets.append(cell_codecs.column_end(code, self.raw, offsets[-1], self.rows))
        return offsets[at]
