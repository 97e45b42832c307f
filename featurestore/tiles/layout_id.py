"""Layout id: 32 bits that name the stored bytes of a view that belong together. Pure.

It is a hash of the view's fingerprint and coverage start, and the first bytes of stored tiles and of suffix aggregates.
A definition that was changed and changed back was not folded meanwhile: its coverage start is another, and so is its
layout id.

>>> raw = LAYOUT_ID.pack(layout_id_of(fingerprint=7, coverage_start_ms=0)) + b"tiles"
>>> layout_id_in(raw) == layout_id_of(7, 0), layout_id_in(raw) == layout_id_of(7, 60_000)
(True, False)
"""

from functools import lru_cache
from struct import Struct
from zlib import crc32

LAYOUT_ID = Struct("<I")
ORIGIN = Struct("<IQ")  # fingerprint, coverage start in ms


@lru_cache(maxsize=1_024)  # a partition and view has one
def layout_id_of(fingerprint: int, coverage_start_ms: int) -> int:
    """The layout id of a view's definition and coverage start."""
    return crc32(ORIGIN.pack(fingerprint, coverage_start_ms))


def layout_id_in(raw: bytes, offset: int = 0) -> int:
    """The layout id of stored tiles or suffix aggregates, which begin at a byte offset."""
    return int(LAYOUT_ID.unpack_from(raw, offset)[0])
