"""Contents of RocksDB's files: keys and values of tables, which share beginnings, and records of logs. Pure.

A table (``.sst``) ends with a footer that leads to its index, and that to each block of data. A key of a block states
how many bytes it shares with the one before, so that no key of a block has to stand there as a whole. Blocks are
compressed. Logs and manifests are written in blocks of 32 KiB, and a record that reaches over an end is in two parts.
RocksDB's table/format.cc, table/block_based/block_builder.cc, db/log_format.h.
"""

from collections.abc import Callable, Iterator
from struct import unpack_from
from typing import NamedTuple

import cramjam

MAGIC = 0x88E241B785F4CFF7
FOOTER, TRAILER, VERSION_AT = 53, 5, 41
LOG_BLOCK, LOG_HEADER, RECYCLED_HEADER = 32_768, 7, 11
INDEX = b"rocksdb.index"
NONE, SNAPPY, ZLIB, LZ4, LZ4HC, ZSTD = 0, 1, 2, 4, 5, 7


class Handle(NamedTuple):
    """Where a block stands in its file. Its trailer follows: the compression, and a checksum."""

    offset: int
    size: int


class UnknownTable(ValueError):
    """A table of a version that this module does not read: the search would miss what it holds."""


def table_contents(raw: bytes) -> Iterator[bytes]:
    """Of each block of data its keys and values, whole, one after the other. Raises UnknownTable."""
    if not raw:
        return
    for _, value in _entries(_block(raw, _index_handle(raw)), delta_encoded=True):
        handle, _ = _handle(value, 0)
        yield b"\0".join(key + b"\0" + stored for key, stored in _entries(_block(raw, handle)))


def _index_handle(raw: bytes) -> Handle:
    """Handle of the index, from the footer of version 6, which states the size of what is before it."""
    footer = raw[-FOOTER:]
    version, magic = unpack_from("<IQ", footer, VERSION_AT)
    if magic != MAGIC:
        raise UnknownTable("no table of RocksDB, or not complete")
    if version < 6:
        _, at = _handle(footer, 1)
        return _handle(footer, at)[0]
    (size,) = unpack_from("<I", footer, 13)
    meta = Handle(len(raw) - FOOTER - TRAILER - size, size)
    for key, value in _entries(_block(raw, meta)):
        if key == INDEX:
            return _handle(value, 0)[0]
    raise UnknownTable("its footer names no index")


def _block(raw: bytes, handle: Handle) -> bytes:
    end = handle.offset + handle.size
    stored, compression = raw[handle.offset : end], raw[end]
    if compression == NONE:
        return stored
    if compression not in DECOMPRESSORS:
        raise UnknownTable(f"compressed by {compression}")
    return DECOMPRESSORS[compression](stored)


def _with_length(decompress: Callable[[bytes, int], bytes]) -> Callable[[bytes], bytes]:
    """A decompressor of bytes that begin with the length of the result."""

    def decompressed(stored: bytes) -> bytes:
        length, at = _varint(stored, 0)
        return decompress(stored[at:], length)

    return decompressed


def _raw_deflate(stored: bytes, length: int) -> bytes:
    return bytes(cramjam.deflate.decompress(stored, output_len=length))


def _lz4_block(stored: bytes, length: int) -> bytes:
    return bytes(cramjam.lz4.decompress_block(stored, output_len=length))


def _zstd(stored: bytes, length: int) -> bytes:
    return bytes(cramjam.zstd.decompress(stored, output_len=length))


DECOMPRESSORS: dict[int, Callable[[bytes], bytes]] = {
    SNAPPY: lambda stored: bytes(cramjam.snappy.decompress_raw(stored)),
    ZLIB: _with_length(_raw_deflate),
    LZ4: _with_length(_lz4_block),
    LZ4HC: _with_length(_lz4_block),
    ZSTD: _with_length(_zstd),
}


def _entries(block: bytes, *, delta_encoded: bool = False) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block, in order. ``delta_encoded``: of an index, whose values state no length."""
    (packed,) = unpack_from("<I", block, len(block) - 4)
    restarts = packed & 0x0FFFFFFF
    end, at, key = len(block) - 4 - 4 * restarts, 0, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length = 0
        if not delta_encoded:
            length, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        at += own
        if delta_encoded:
            if shared:
                raise UnknownTable("its index has a restart interval of more than 1")
            _, next_at = _handle(block, at)
            length = next_at - at
        yield key, block[at : at + length]
        at += length


def _handle(raw: bytes, at: int) -> tuple[Handle, int]:
    offset, at = _varint(raw, at)
    size, at = _varint(raw, at)
    return Handle(offset, size), at


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def log_contents(raw: bytes) -> bytes:
    """A log or manifest without the headers between the parts of its records."""
    parts = []
    for start in range(0, len(raw), LOG_BLOCK):
        at, end = start, min(start + LOG_BLOCK, len(raw))
        while at + LOG_HEADER <= end:
            length, kind = unpack_from("<HB", raw, at + 4)
            header = RECYCLED_HEADER if kind > 4 else LOG_HEADER
            parts.append(raw[at + header : min(at + header + length, end)])
            if kind == 0:
                break  # nothing was written from here to the end of the block
            at += header + length
    return b"".join(parts)
