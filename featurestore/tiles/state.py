"""What the streams keep of one subject and source: the record in a table and its changelog. Pure.

A record's bytes are msgpack in a canonical order, so they are a function of the set of events that counted, whatever
their order, batching or replay (float sums and sketches: within their stated error).
"""

import struct
from typing import Any
from zlib import crc32

import msgspec

SEEN_SPAN_S = 7 * 86_400
SEEN_MOST = 256


class ViewState(msgspec.Struct, array_like=True):
    """One view's tiles for one purpose, stamped with the grant and the edition they were folded under.

    A tile is ``[start_s, state of column 0, state of column 1, ...]``; tiles are in order of their start.
    """

    edition: int
    grant: int
    newest_ms: int = 0
    tiles: list[list[Any]] = []


class Record(msgspec.Struct, array_like=True):
    """All that is kept of one subject for one source.

    ``offset`` is the last one applied. ``seen`` maps the identity of an event that counted to its time in seconds, the
    newest SEEN_MOST within SEEN_SPAN_S of the newest; ``views`` maps VIEW/PURPOSE to its state.
    """

    offset: int = -1
    seen: dict[int, int] = {}
    views: dict[str, ViewState] = {}

    def encode(self) -> bytes:
        return ENCODER.encode(self)


ENCODER = msgspec.msgpack.Encoder()
DECODER = msgspec.msgpack.Decoder(Record)


def edition_of(fingerprint: int, birth_ms: int) -> int:
    """32 bits that name one life of a view's definition on one partition.

    A definition that was changed and changed back was not folded meanwhile: its birth, and so its edition, is another.
    """
    return crc32(struct.pack("<IQ", fingerprint, birth_ms))


def decode(raw: bytes) -> Record:
    """The record in a table's value."""
    return DECODER.decode(raw)


def trimmed(seen: dict[int, int]) -> dict[int, int]:
    """The identities that are kept, in canonical order: oldest first."""
    if not seen:
        return seen
    floor_s = max(seen.values()) - SEEN_SPAN_S
    kept = sorted((time_s, tie) for tie, time_s in seen.items() if time_s >= floor_s)[-SEEN_MOST:]
    return {tie: time_s for time_s, tie in kept}


def field_name(view: str, purpose: str) -> str:
    """The name of a view's state for a purpose: in a record, and as a field of the subject's hash in the store."""
    return f"{view}/{purpose}"
