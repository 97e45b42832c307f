"""What the streams keep of one subject and source: the record in a table and its changelog. Pure.

A record's bytes are msgpack in a canonical order, so they are a function of the set of events that counted, whatever
their order, batching or replay (float sums and sketches: within their stated error).
"""

import struct
from functools import lru_cache
from zlib import crc32

import msgspec


class StoredTiles(msgspec.Struct, array_like=True):
    """The tiles of one view (featurestore.tiles.view_codec), and the grant by which each of some purposes holds them."""

    grants: dict[str, int]
    tiles: bytes


class Record(msgspec.Struct, array_like=True):
    """All that is kept of one subject for one source.

    ``offset`` is the last one applied; ``identities`` those of the events that counted lately
    (featurestore.tiles.deduplication). ``views`` has what a view keeps, once for all purposes whose tiles are the same.
    """

    offset: int = -1
    identities: bytes = b""
    views: dict[str, list[StoredTiles]] = {}

    def encode(self) -> bytes:
        return ENCODER.encode(self)


ENCODER = msgspec.msgpack.Encoder()
DECODER = msgspec.msgpack.Decoder(Record)


@lru_cache(maxsize=1_024)  # a partition and view has one
def layout_id_of(fingerprint: int, coverage_start_ms: int) -> int:
    """32 bits that name one life of a view's definition on one partition.

    A definition that was changed and changed back was not folded meanwhile: its birth, and so its layout_id, is another.
    """
    return crc32(struct.pack("<IQ", fingerprint, coverage_start_ms))


class UnknownFormat(ValueError):
    """A table's value that is no record of this version's."""


def decode(raw: bytes) -> Record:
    """The record in a table's value. Raises UnknownFormat."""
    try:
        return DECODER.decode(raw)
    except msgspec.DecodeError as error:
        what = f"a table holds what this version can't read ({error})"
        raise UnknownFormat(f"{what}: start a new generation, RAPPORT_GENERATION one higher") from None
