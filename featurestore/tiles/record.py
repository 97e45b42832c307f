"""Record of one subject and source: the streams' state, as a table and its changelog hold it. Pure.

A record's bytes are msgpack in a canonical order, so they are a function of the set of events that counted, whatever
their order, batching or replay (float sums and sketches: within their stated error).
"""

import struct
from functools import lru_cache
from zlib import crc32

import msgspec


class StoredTiles(msgspec.Struct, array_like=True):
    """Packed tiles of one view (featurestore.tiles.view_codec), with the grant id of each purpose that holds them."""

    grant_ids: dict[str, int]
    tiles: bytes


class Record(msgspec.Struct, array_like=True):
    """All state of one subject for one source.

    ``offset`` is the last one applied. ``deduplication_window`` has the events that counted lately
    (featurestore.tiles.deduplication). ``views`` has a view's tiles once for all purposes whose tiles are equal.
    """

    offset: int = -1
    deduplication_window: bytes = b""
    views: dict[str, list[StoredTiles]] = {}

    def encode(self) -> bytes:
        return ENCODER.encode(self)


ENCODER = msgspec.msgpack.Encoder()
DECODER = msgspec.msgpack.Decoder(Record)


@lru_cache(maxsize=1_024)  # a partition and view has one
def layout_id_of(fingerprint: int, coverage_start_ms: int) -> int:
    """32 bits that say which stored bytes of a view belong together: of one definition and one coverage start.

    A definition that was changed and changed back was not folded meanwhile: its coverage start is another, and so is
    its layout id.
    """
    return crc32(struct.pack("<IQ", fingerprint, coverage_start_ms))


class UnknownFormat(ValueError):
    """A table's value that is no record of this version."""


def decode(raw: bytes) -> Record:
    """The record in a table's value. Raises UnknownFormat."""
    try:
        return DECODER.decode(raw)
    except msgspec.DecodeError as error:
        problem = f"a table holds a value that this version can't read ({error})"
        raise UnknownFormat(f"{problem}: start a new generation, RAPPORT_GENERATION one higher") from None
