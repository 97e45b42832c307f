"""Wide integers: exact sums of floats, as integers of any size and as the bytes that a table keeps of them.

A float counts in units of 2**-96; what it has below that, some 1e-29, is dropped. So a sum is exact, in any order.

>>> total = units_of(0.1) + units_of(0.2) + units_of(0.3)
>>> total / UNITS, 0.1 + 0.2 + 0.3
(0.6, 0.6000000000000001)
>>> from_bytes(to_bytes(total)) == total, to_bytes(300), to_bytes(0)
(True, b',\\x01', b'')
"""

from collections.abc import Callable
from functools import partial

UNITS = 2**96  # in 1.0
WIDE_BYTES = 24  # of a sum of floats, at most: 10**12 is 40 bits, and there are 2**24 of them


def units_of(value: float) -> int:
    """A float as an integer of units."""
    return int(value * float(UNITS))  # a power of two: the product is exact


def to_bytes(number: int) -> bytes:
    """The bytes of an integer, little-endian; none for 0."""
    return number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True) if number else b""


from_bytes: Callable[[bytes], int] = partial(int.from_bytes, byteorder="little", signed=True)
"""The integer of some bytes."""
