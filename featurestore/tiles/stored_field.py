"""Field of a subject's hash in the store: the values of one view for one purpose. Pure.

The bytes, little-endian: a fencing header (generation u32, offset u64, grant id u64); the second of the newest event
that counted unchecked, or 0 (u32); the view's suffix aggregates (featurestore.tiles.view_codec), which begin with their
layout id and the second of the newest counted event (u32 each). The store's scripts compare the header, and this
second where a subject is evicted. Only ``pack_field`` composes these bytes.

>>> raw = pack_field(1, 41, 7, b"layout id, rows, cells", unchecked_s=60)
>>> raw[:20].hex(" ", -4), fencing_header_of(raw)
('01000000 29000000 00000000 07000000 00000000', FencingHeader(generation=1, offset=41, grant_id=7))
"""

from struct import Struct
from typing import NamedTuple

FENCING_HEADER = Struct("<IQQ")
UNCHECKED = Struct("<I")
FIELD_HEADER = Struct("<IQQI")  # both
NEWEST = Struct("<I")
VALUES_START = FIELD_HEADER.size  # the offset of the suffix aggregates in a field, in bytes


class FencingHeader(NamedTuple):
    """Origin of a field's values. ``generation`` and ``offset`` fence its writes; ``grant_id`` ties them to a grant."""

    generation: int
    offset: int
    grant_id: int


def pack_field(generation: int, offset: int, grant_id: int, suffix_aggregates: bytes, unchecked_s: int = 0) -> bytes:
    """The bytes of a field."""
    return FIELD_HEADER.pack(generation, offset, grant_id, unchecked_s) + suffix_aggregates


def fencing_header_of(raw: bytes) -> FencingHeader:
    """The header of a field."""
    return FencingHeader(*FENCING_HEADER.unpack_from(raw))


def unchecked_s_of(raw: bytes) -> int:
    """The second of the newest event of a field that counted without a check for duplicates; 0 if all were checked."""
    return int(UNCHECKED.unpack_from(raw, FENCING_HEADER.size)[0])


def newest_s_of(raw: bytes) -> int | None:
    """The second of the newest event that a field's values counted; None if it is too short for values."""
    if len(raw) < VALUES_START + 2 * NEWEST.size:
        return None
    return int(NEWEST.unpack_from(raw, VALUES_START + NEWEST.size)[0])


def field_name(view: str, purpose: str) -> str:
    """The name of a field in the hash: VIEW/PURPOSE."""
    return f"{view}/{purpose}"
