r"""Codecs of one column of cells: a list of cells of one kind as bytes, and back. Pure.

The states of tiles are stored by column, since an array is read and written at C's speed. A column's *encoding code*,
one character, depends on its cells alone, so equal columns are equal bytes. Numbers are little-endian.

- Plain, a value a row: ``b h i q`` are integers of 1, 2, 4 or 8 bytes, the least value standing for None; ``d`` floats,
  NaN standing for None; ``s m l`` blobs, after all their lengths of 1, 2 or 4 bytes.
- CONSTANT, the capital of a plain code: one value, which every row has.
- RUN_LENGTH, a digit for each plain code: the number of runs (u16), the end row of each (u16), one value a run.

>>> pack(pack_integers, [3, 1, None]), pack(pack_integers, [7] * 20)
(('b', b'\x03\x01\x80'), ('B', b'\x07'))
>>> code, raw = pack(pack_integers, [0] * 18 + [300] * 2)
>>> code, raw.hex(" ", 2)  # two runs, which end at rows 18 and 20; their values
('1', '0200 1200 1400 0000 2c01')
>>> unpack("b", b"\x03\x01\x80", 0, rows=3)  # and the offset of what follows
([3, 1, None], 3)
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate, chain, pairwise, repeat
from operator import ne
from struct import Struct
from typing import Any

from featurestore.aggregations.base import Cell

FORMATS = {"b": "b", "h": "h", "i": "i", "q": "q", "d": "d", "s": "B", "m": "H", "l": "I"}  # struct's, by plain code
WIDTHS = {code: Struct(f"<{format}").size for code, format in FORMATS.items()}
INTEGER_OF_BITS = "b" * 8 + "h" * 8 + "i" * 16 + "q" * 32  # the code of an integer, by its bits without the sign
NULLS = {"b": -(1 << 7), "h": -(1 << 15), "i": -(1 << 31), "q": -(1 << 63)}
NULL_BYTE = b"\x80"
FLOAT = "d"
RUN_END = "m"  # the code that run ends are stored in
BLOB_LIMITS = {code: 1 << 8 * WIDTHS[code] for code in "sml"}  # a blob of that code is shorter

CONSTANT = {code: code.upper() for code in FORMATS}
CONSTANT_OF = {constant: code for code, constant in CONSTANT.items()}
RUN_LENGTH = {code: str(number) for number, code in enumerate(FORMATS)}
RUNS_OF = {run_length: code for code, run_length in RUN_LENGTH.items()}
MIN_ROWS_FOR_RUNS = 16  # with fewer there is little to save
RUN_COUNT = Struct("<H")
ONE_INTEGER = [(CONSTANT[code], Struct(f"<{FORMATS[code]}").pack) for code in INTEGER_OF_BITS]  # by its bits
TOO_LARGE = "a column holds no integer of {} bits"


@lru_cache(maxsize=8_192)  # a few codes, as many lengths as subjects have tiles
def array(rows: int, code: str) -> Struct:
    return Struct(f"<{rows}{FORMATS[code]}")


Packer = Callable[[Sequence[Any]], tuple[str, bytes]]


def pack(packer: Packer, values: Sequence[Any]) -> tuple[str, bytes]:
    """The encoding code and the bytes of a column of at least one cell; ``packer`` is PACKERS' for its kind of cells.

    Raises OverflowError for an integer of more than 64 bits.
    """
    rows = len(values)
    if rows >= MIN_ROWS_FOR_RUNS:
        changes = list(map(ne, values, values[1:]))
        runs = sum(changes) + 1
        if 1 < runs <= rows // 4:
            ends = [row for row, change in enumerate(changes, 1) if change]
            ends.append(rows)
            code, raw = packer([values[end - 1] for end in ends])
            return RUN_LENGTH[code], b"".join((RUN_COUNT.pack(runs), array(runs, RUN_END).pack(*ends), raw))
    return packer(values)


def pack_integers(values: Sequence[Any]) -> tuple[str, bytes]:
    if len(values) == 1:
        return _pack_integer(values[0])
    try:
        low, high = min(values), max(values)
        size = high if high > -low else -low
        code = INTEGER_OF_BITS[size.bit_length()]
    except (TypeError, AttributeError):  # some are None, or all
        return _pack_nullable(values)
    except IndexError:
        raise OverflowError(TOO_LARGE.format(size.bit_length())) from None
    if low == high:
        return CONSTANT[code], array(1, code).pack(low)
    return code, array(len(values), code).pack(*values)


def _pack_integer(value: int | None) -> tuple[str, bytes]:
    """A column of one cell, as those of a view with a single tile."""
    if value is None:
        return CONSTANT["b"], NULL_BYTE
    try:
        code, pack_one = ONE_INTEGER[value.bit_length()]
    except IndexError:
        raise OverflowError(TOO_LARGE.format(value.bit_length())) from None
    return code, pack_one(value)


def _pack_nullable(values: Sequence[Any]) -> tuple[str, bytes]:
    present = [value for value in values if value is not None]
    if not present:
        return CONSTANT["b"], NULL_BYTE
    code = pack_integers(present)[0].lower()
    null = NULLS[code]
    return code, array(len(values), code).pack(*[null if value is None else value for value in values])


def pack_floats(values: Sequence[float | None]) -> tuple[str, bytes]:
    stored = [math.nan if value is None else value for value in values]
    if values.count(values[0]) == len(values):
        return CONSTANT[FLOAT], array(1, FLOAT).pack(stored[0])
    return FLOAT, array(len(values), FLOAT).pack(*stored)


def pack_blobs(values: Sequence[bytes]) -> tuple[str, bytes]:
    constant = values.count(values[0]) == len(values)
    stored = values[:1] if constant else values
    lengths = list(map(len, stored))
    longest = max(lengths)
    code = "s" if longest < BLOB_LIMITS["s"] else "m" if longest < BLOB_LIMITS["m"] else "l"
    return CONSTANT[code] if constant else code, b"".join((array(len(stored), code).pack(*lengths), *stored))


PACKERS: dict[Cell, Packer] = {Cell.INT: pack_integers, Cell.FLOAT: pack_floats, Cell.BLOB: pack_blobs}


def unpack(code: str, raw: bytes, offset: int, rows: int) -> tuple[list[Any], int]:
    """The cells of the column that begins at a byte offset, blobs as bytes, and the offset of its end."""
    if code in FORMATS:
        return _unpack_plain(code, raw, offset, rows)
    if code in CONSTANT_OF:
        values, offset = _unpack_plain(CONSTANT_OF[code], raw, offset, 1)
        return values * rows, offset
    ends, offset = _run_ends(raw, offset)
    values, offset = _unpack_plain(RUNS_OF[code], raw, offset, len(ends))
    sizes = map(int.__sub__, ends, (0, *ends))
    return list(chain.from_iterable(map(repeat, values, sizes))), offset


def _run_ends(raw: bytes, offset: int) -> tuple[tuple[int, ...], int]:
    """The end rows of a column's runs, and the offset of their values."""
    (runs,) = RUN_COUNT.unpack_from(raw, offset)
    ends = array(runs, RUN_END)
    return ends.unpack_from(raw, offset + RUN_COUNT.size), offset + RUN_COUNT.size + ends.size


def _unpack_plain(code: str, raw: bytes, offset: int, rows: int) -> tuple[list[Any], int]:
    numbers = array(rows, code)
    values: list[Any] = list(numbers.unpack_from(raw, offset))
    offset += numbers.size
    if code in BLOB_LIMITS:
        ends = list(accumulate(values, initial=offset))
        return [raw[start:end] for start, end in pairwise(ends)], ends[-1]
    if code == FLOAT:
        return [None if value != value else value for value in values], offset
    if (null := NULLS[code]) in values:
        return [None if value == null else value for value in values], offset
    return values, offset


def column_end(code: str, raw: bytes, offset: int, rows: int) -> int:
    """The offset of the end of the column that begins at a byte offset."""
    if code in RUNS_OF:
        (rows,) = RUN_COUNT.unpack_from(raw, offset)
        offset += RUN_COUNT.size + rows * WIDTHS[RUN_END]
        code = RUNS_OF[code]
    elif code in CONSTANT_OF:
        rows, code = 1, CONSTANT_OF[code]
    if code in BLOB_LIMITS:
        return offset + rows * WIDTHS[code] + int(sum(array(rows, code).unpack_from(raw, offset)))
    return offset + rows * WIDTHS[code]


def find_run(raw: bytes, offset: int, row: int) -> tuple[int, int]:
    """In the run-length column that begins at a byte offset: the index of a row's run, and the offset of the values."""
    ends, offset = _run_ends(raw, offset)
    return bisect_right(ends, row), offset
