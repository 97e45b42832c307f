"""Compressed frames anywhere in bytes, found by their first bytes and unpacked as far as they are intact. Pure.

gzip, zlib, zstd, the frames of lz4 and of snappy, and snappy as Java's Kafka clients write it. What only looks like a
frame fails, and is none.
"""

import re
import zlib
from collections.abc import Callable, Iterator

import cramjam

PROBED, MOST_PACKED, MOST_UNPACKED = 512, 8 * 1024 * 1024, 256 * 1024 * 1024
STARTS = re.compile(
    rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]|\x28\xb5\x2f\xfd|\x04\x22\x4d\x18|\xff\x06\x00\x00sNaPpY|\x82SNAPPY\x00"
)
SHORTEST = 4
SNAPPY_HEADER, XERIAL_HEADER = 10, 16


def unpacked_frames(raw: bytes) -> Iterator[bytes]:
    """The contents of every frame in bytes; also of one that stands within what looks like another."""
    for found in STARTS.finditer(raw):
        unpack = UNPACKERS[raw[found.start() : found.start() + 1]]
        try:
            contents = unpack(raw, found.start())
        except (zlib.error, cramjam.DecompressionError, ValueError, IndexError):
            continue  # it only looked like a frame
        if len(contents) >= SHORTEST:
            yield contents


def _gzip(raw: bytes, start: int) -> bytes:
    return _inflated(raw, start, zlib.MAX_WBITS | 16)


def _zlib(raw: bytes, start: int) -> bytes:
    return _inflated(raw, start, zlib.MAX_WBITS)


def _inflated(raw: bytes, start: int, window: int) -> bytes:
    """What can be inflated: of a frame that ends too early, or is longer than MOST_PACKED, as much as there is."""
    zlib.decompressobj(window).decompress(memoryview(raw)[start : start + PROBED])  # most that is none fails here
    return zlib.decompressobj(window).decompress(memoryview(raw)[start : start + MOST_PACKED], MOST_UNPACKED)


def _zstd(raw: bytes, start: int) -> bytes:
    return bytes(cramjam.zstd.decompress(raw[start : zstd_end(raw, start)]))


def zstd_end(raw: bytes, start: int) -> int:
    """End of the zstd frame that begins at an offset (RFC 8878, 3.1.1). Raises ValueError, IndexError."""
    descriptor = raw[start + 4]
    single_segment, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    content_size = (single_segment, 2, 4, 8)[descriptor >> 6]
    at = start + 5 + (1 - single_segment) + (0, 1, 2, 4)[descriptor & 3] + content_size
    while True:
        header = int.from_bytes(raw[at : at + 3], "little")
        if at + 3 > len(raw):
            raise ValueError("it ends within a block")
        last, kind, size = header & 1, header >> 1 & 3, header >> 3
        at += 3 + (1 if kind == 1 else size)
        if last:
            return at + 4 * checksum


def _lz4(raw: bytes, start: int) -> bytes:
    return bytes(cramjam.lz4.decompress(raw[start : lz4_end(raw, start)]))


def lz4_end(raw: bytes, start: int) -> int:
    """End of the lz4 frame that begins at an offset (LZ4 Frame Format 1.6). Raises ValueError, IndexError."""
    flags = raw[start + 4]
    if flags >> 6 != 1:
        raise ValueError("no version of the format")
    block_checksum, content_size, content_checksum, dictionary = (flags >> bit & 1 for bit in (4, 3, 2, 0))
    at = start + 7 + 8 * content_size + 4 * dictionary
    while True:
        if at + 4 > len(raw):
            raise ValueError("it ends within a block")
        size = int.from_bytes(raw[at : at + 4], "little") & 0x7FFFFFFF
        at += 4
        if not size:
            return at + 4 * content_checksum
        at += size + 4 * block_checksum


def _snappy(raw: bytes, start: int) -> bytes:
    """Chunks of the snappy framing format: a type, a length of 3 bytes; of data a checksum, then the data."""
    at, chunks = start + SNAPPY_HEADER, list[bytes]()
    while at + 8 <= len(raw) and raw[at] in (0, 1):
        end = at + 4 + int.from_bytes(raw[at + 1 : at + 4], "little")
        if end > len(raw):
            break
        data = raw[at + 8 : end]
        try:
            chunks.append(data if raw[at] else bytes(cramjam.snappy.decompress_raw(data)))
        except cramjam.DecompressionError:
            break  # behind the last chunk
        at = end
    return b"".join(chunks)


def _xerial(raw: bytes, start: int) -> bytes:
    """Snappy as snappy-java writes it: a header, then blocks, each with its length before it."""
    at, blocks = start + XERIAL_HEADER, list[bytes]()
    while at + 4 <= len(raw):
        size = int.from_bytes(raw[at : at + 4], "big")
        if not 0 < size <= len(raw) - at - 4:
            break
        try:
            blocks.append(bytes(cramjam.snappy.decompress_raw(raw[at + 4 : at + 4 + size])))
        except cramjam.DecompressionError:
            break  # behind the last block
        at += 4 + size
    return b"".join(blocks)


UNPACKERS: dict[bytes, Callable[[bytes, int], bytes]] = {
    b"\x1f": _gzip,
    b"\x78": _zlib,
    b"\x28": _zstd,
    b"\x04": _lz4,
    b"\xff": _snappy,
    b"\x82": _xerial,
}
