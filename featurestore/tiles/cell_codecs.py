"""Columns: a list of like cells as bytes, and back. Pure.

The states of tiles lie in columns, in tables as in the store: an array is read and written at C's speed, where a row at
a time costs ten times more. A letter says how a cell is stored: ``b h i q`` for integers of 1 to 8 bytes, whose least
value stands for None, ``d`` for floats with NaN for None (and one zero, or like cells would not be), ``s m l`` for
blobs behind all their lengths, of 1, 2 or 4 bytes each. A capital: all rows hold the one value that is stored. A digit,
the letter's place among ``bhiqdsml``: the rows are runs of like values; their number (u16) and the rows at which they
end (u16 each) come first. Little-endian, as are all machines that this runs on. The form depends on the cells alone, so
equal columns are equal bytes.
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

NARROWEST = "b" * 8 + "h" * 8 + "i" * 16 + "q" * 32  # the letter of an integer, by its bits without the sign
NULL_BYTE = b"\x80"
NULLS = {"b": -(1 << 7), "h": -(1 << 15), "i": -(1 << 31), "q": -(1 << 63)}
FORMATS = {"b": "b", "h": "h", "i": "i", "q": "q", "d": "d", "s": "B", "m": "H", "l": "I"}
WIDTHS = {letter: Struct(f"<{code}").size for letter, code in FORMATS.items()}
BLOBS = {letter: 1 << 8 * WIDTHS[letter] for letter in "sml"}
DIGITS = {letter: str(place) for place, letter in enumerate(FORMATS)}
LETTERS = {digit: letter for letter, digit in DIGITS.items()}
RUNS_FROM = 16  # rows; with fewer there is little to save
COUNT = Struct("<H")


@lru_cache(maxsize=8_192)  # a few letters, as many lengths as customers have tiles
def array(rows: int, letter: str) -> Struct:
    return Struct(f"<{rows}{FORMATS[letter]}")


Packer = Callable[[Sequence[Any]], tuple[str, bytes]]


def pack(packer: Packer, values: Sequence[Any]) -> tuple[str, bytes]:
    """The form and the bytes of a column of at least one cell; ``packer`` is PACKERS' for its kind of cells.

    Raises OverflowError for an integer of more than 64 bits.
    """
    rows = len(values)
    if rows >= RUNS_FROM:
        changes = list(map(ne, values, values[1:]))
        runs = sum(changes) + 1
        if 1 < runs <= rows // 4:
            ends = [row for row, change in enumerate(changes, 1) if change]
            ends.append(rows)
            letter, raw = packer([values[end - 1] for end in ends])
            return DIGITS[letter], b"".join((COUNT.pack(runs), array(runs, "m").pack(*ends), raw))
    return packer(values)


def integers(values: Sequence[Any]) -> tuple[str, bytes]:
    try:
        low, high = min(values), max(values)
        size = high if high > -low else -low
        letter = NARROWEST[size.bit_length()]
    except (TypeError, AttributeError):  # some are None, or all
        return _nullable(values)
    except IndexError:
        raise OverflowError(f"a column holds no integer of {size.bit_length()} bits") from None
    if low == high:
        return letter.upper(), array(1, letter).pack(low)
    return letter, array(len(values), letter).pack(*values)


def _nullable(values: Sequence[Any]) -> tuple[str, bytes]:
    present = [value for value in values if value is not None]
    if not present:
        return "B", NULL_BYTE
    letter = integers(present)[0].lower()
    null = NULLS[letter]
    return letter, array(len(values), letter).pack(*[null if value is None else value for value in values])


def floats(values: Sequence[float | None]) -> tuple[str, bytes]:
    stored = [math.nan if value is None else value for value in values]
    if values.count(values[0]) == len(values):
        return "D", array(1, "d").pack(stored[0])
    return "d", array(len(values), "d").pack(*stored)


def blobs(values: Sequence[bytes]) -> tuple[str, bytes]:
    alike = values.count(values[0]) == len(values)
    stored = values[:1] if alike else values
    lengths = list(map(len, stored))
    letter = next(letter for letter, limit in BLOBS.items() if max(lengths) < limit)
    return letter.upper() if alike else letter, b"".join((array(len(stored), letter).pack(*lengths), *stored))


PACKERS: dict[Cell, Packer] = {Cell.INT: integers, Cell.FLOAT: floats, Cell.BLOB: blobs}


def unpack(form: str, raw: bytes, at: int, rows: int) -> tuple[list[Any], int]:
    """The cells of a column that begins at ``at``, blobs as bytes, and where it ends."""
    if form.islower():
        return _unpacked(form, raw, at, rows)
    if form.isupper():
        values, at = _unpacked(form.lower(), raw, at, 1)
        return values * rows, at
    ends, at = _ends(raw, at)
    values, at = _unpacked(LETTERS[form], raw, at, len(ends))
    sizes = map(int.__sub__, ends, (0, *ends))
    return list(chain.from_iterable(map(repeat, values, sizes))), at


def _ends(raw: bytes, at: int) -> tuple[tuple[int, ...], int]:
    """The rows at which the runs of a column end, and where their values begin."""
    (runs,) = COUNT.unpack_from(raw, at)
    numbers = array(runs, "m")
    return numbers.unpack_from(raw, at + COUNT.size), at + COUNT.size + numbers.size


def _unpacked(letter: str, raw: bytes, at: int, rows: int) -> tuple[list[Any], int]:
    numbers = array(rows, letter)
    values: list[Any] = list(numbers.unpack_from(raw, at))
    at += numbers.size
    if letter in BLOBS:
        ends = list(accumulate(values, initial=at))
        return [raw[start:end] for start, end in pairwise(ends)], ends[-1]
    if letter == "d":
        return [None if value != value else value for value in values], at
    if (null := NULLS[letter]) in values:
        return [None if value == null else value for value in values], at
    return values, at


def end(form: str, raw: bytes, at: int, rows: int) -> int:
    """Where a column that begins at ``at`` ends."""
    if form.isdigit():
        (rows,) = COUNT.unpack_from(raw, at)
        at += COUNT.size + rows * WIDTHS["m"]
        letter = LETTERS[form]
    else:
        letter = form.lower()
        rows = 1 if form.isupper() else rows
    if letter in BLOBS:
        return at + rows * WIDTHS[letter] + int(sum(array(rows, letter).unpack_from(raw, at)))
    return at + rows * WIDTHS[letter]


def run_of(raw: bytes, at: int, row: int) -> tuple[int, int]:
    """Of a column of runs: the run that a row is in, and where the runs' values begin."""
    ends, at = _ends(raw, at)
    return bisect_right(ends, row), at
