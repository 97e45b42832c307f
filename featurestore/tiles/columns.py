"""Columns: a list of like cells as bytes, and back. Pure.

The states of tiles lie in columns, in tables as in the store: an array is read and written at C's speed, where a row at
a time costs ten times more. One letter says how a column is stored: ``b h i q`` for integers of 1 to 8 bytes, whose
least value stands for None, ``d`` for floats with NaN for None, ``s m l`` for blobs behind all their lengths, of 1, 2
or 4 bytes each. A capital: all rows hold the one value that is stored. Little-endian, as are all machines that this
runs on. The letter is that of the fewest bytes, so equal columns are equal bytes.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from struct import Struct
from typing import Any

from featurestore.aggregations.base import Cell

NARROWEST = "b" * 8 + "h" * 8 + "i" * 16 + "q" * 32  # the letter of an integer, by its bits without the sign
NULL_BYTE = b"\x80"
NULLS = {"b": -(1 << 7), "h": -(1 << 15), "i": -(1 << 31), "q": -(1 << 63)}
FORMATS = {"b": "b", "h": "h", "i": "i", "q": "q", "d": "d", "s": "B", "m": "H", "l": "I"}
WIDTHS = {letter: Struct(f"<{code}").size for letter, code in FORMATS.items()}
BLOBS = {letter: 1 << 8 * WIDTHS[letter] for letter in "sml"}


@lru_cache(maxsize=8_192)  # a few letters, as many lengths as customers have tiles
def array(rows: int, letter: str) -> Struct:
    return Struct(f"<{rows}{FORMATS[letter]}")


def pack(cell: Cell, values: Sequence[Any]) -> tuple[str, bytes]:
    """The letter and the bytes of a column of at least one cell. Raises OverflowError for an integer over 64 bits."""
    if cell is Cell.INT:
        return _pack_integers(values)
    return _pack_floats(values) if cell is Cell.FLOAT else _pack_blobs(values)


def _pack_integers(values: Sequence[Any]) -> tuple[str, bytes]:
    try:
        low, high = min(values), max(values)
        if low is None or high is None:
            return "B", NULL_BYTE
    except TypeError:  # some are None
        return _pack_nullable(values)
    letter = _narrowest(high if high > -low else -low)
    if low == high:
        return letter.upper(), array(1, letter).pack(low)
    return letter, array(len(values), letter).pack(*values)


def _pack_nullable(values: Sequence[Any]) -> tuple[str, bytes]:
    present = [value for value in values if value is not None]
    if not present:
        return "B", NULL_BYTE
    letter = _narrowest(max(max(present), -min(present)))
    null = NULLS[letter]
    return letter, array(len(values), letter).pack(*[null if value is None else value for value in values])


def _pack_floats(values: Sequence[float | None]) -> tuple[str, bytes]:
    stored = [math.nan if value is None else value for value in values]
    if values.count(values[0]) == len(values):
        return "D", array(1, "d").pack(stored[0])
    return "d", array(len(values), "d").pack(*stored)


def _pack_blobs(values: Sequence[bytes]) -> tuple[str, bytes]:
    alike = values.count(values[0]) == len(values)
    stored = values[:1] if alike else values
    lengths = list(map(len, stored))
    letter = next(letter for letter, limit in BLOBS.items() if max(lengths) < limit)
    return letter.upper() if alike else letter, b"".join((array(len(stored), letter).pack(*lengths), *stored))


def _narrowest(size: int) -> str:
    try:
        return NARROWEST[size.bit_length()]
    except IndexError:
        raise OverflowError(f"a column holds no integer of {size.bit_length()} bits") from None


def unpack(letter: str, raw: bytes, at: int, rows: int) -> tuple[list[Any], int]:
    """The cells of a column that begins at ``at``, blobs as bytes, and where it ends."""
    alike = letter.isupper()
    letter, stored = letter.lower(), 1 if alike else rows
    numbers = array(stored, letter)
    values: list[Any] = list(numbers.unpack_from(raw, at))
    at += numbers.size
    if letter in BLOBS:
        ends = list(accumulate(values, initial=at))
        values, at = [raw[start:end] for start, end in pairwise(ends)], ends[-1]
    elif letter == "d":
        values = [None if value != value else value for value in values]
    elif (null := NULLS[letter]) in values:
        values = [None if value == null else value for value in values]
    return values * rows if alike else values, at


def end(letter: str, raw: bytes, at: int, rows: int) -> int:
    """Where a column that begins at ``at`` ends."""
    stored = 1 if letter.isupper() else rows
    numbers = array(stored, letter.lower())
    blobs = sum(numbers.unpack_from(raw, at)) if letter.lower() in BLOBS else 0
    return at + numbers.size + int(blobs)


def number(letter: str, raw: bytes, at: int, row: int) -> float | None:
    """One cell of a column of numbers."""
    alike, letter = letter.isupper(), letter.lower()
    (value,) = array(1, letter).unpack_from(raw, at if alike else at + row * WIDTHS[letter])
    return None if value != value or value == NULLS.get(letter) else value
