"""Contents of Kafka's segments: the records of compressed batches. Pure.

A batch of format 2 (Kafka's documentation, "Record Batch")::

    first offset 8, length 4, leader epoch 4, format 1, CRC 4, attributes 2 ... records from byte 61 on

The attributes' lowest three bits name the compression. What is not compressed stands in the file as it is.
"""

from collections.abc import Callable, Iterator
from struct import unpack_from

import cramjam

from devservers.file_search.frames import UNPACKERS

FORMAT, HEADER, ATTRIBUTES, RECORDS = 16, 12, 21, 61
GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
XERIAL = b"\x82SNAPPY\x00"


def unpacked_batches(raw: bytes) -> Iterator[bytes]:
    """The records of every compressed batch of a segment, from its beginning to its end or to what is no batch."""
    at = 0
    while at + RECORDS <= len(raw):
        (length,) = unpack_from(">i", raw, at + 8)
        if raw[at + FORMAT] != 2 or length < RECORDS - HEADER:
            return
        (attributes,) = unpack_from(">H", raw, at + ATTRIBUTES)
        if codec := attributes & 7:
            yield DECOMPRESSORS[codec](raw[at + RECORDS : at + HEADER + length])
        at += HEADER + length


def _snappy(records: bytes) -> bytes:
    if records.startswith(XERIAL):
        return UNPACKERS[XERIAL[:1]](records, 0)
    return bytes(cramjam.snappy.decompress_raw(records))


DECOMPRESSORS: dict[int, Callable[[bytes], bytes]] = {
    GZIP: lambda records: bytes(cramjam.gzip.decompress(records)),
    SNAPPY: _snappy,
    LZ4: lambda records: bytes(cramjam.lz4.decompress(records)),
    ZSTD: lambda records: bytes(cramjam.zstd.decompress(records)),
}
