"""Contents of PostgreSQL's files: compressed values in pages, TOAST put together, WAL without page headers. Pure.

A compressed value (src/include/varatt.h, little-endian) begins with 4 bytes: its length, shifted by 2, and the bits
10; then 4 bytes: the length of the contents in 30 bits, and in 2 bits pglz (0) or lz4 (1). TOAST stores it in chunks of
some 2,000 bytes, each a row: id of the value 4, number of the chunk 4, chunk; the first one begins with the second 4
bytes. A page of WAL has a header of 20 bytes and 4 of padding, the first one of a file 40 bytes.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from struct import unpack_from
from typing import NamedTuple

import cramjam

PAGE, PAGE_HEADER, LINE_POINTER, LAYOUT = 8192, 24, 4, 4
WAL_HEADER, WAL_FIRST_HEADER, WAL_LONG = 24, 40, 0x0002
NORMAL = 1
LONGEST = 64 * 1024 * 1024
LENGTH_BITS = 0x3FFFFFFF
COMPRESSED = re.compile(b"[" + b"".join(re.escape(bytes([2 + 4 * n])) for n in range(64)) + rb"][\x00-\x7f]\x00\x00")
"""The first 4 bytes of a compressed value that is shorter than a page."""
RELATION = re.compile(r"(\d+)(\.\d+)?")


def unpacked_values(raw: bytes) -> Iterator[bytes]:
    """The contents of every compressed value that stands in pages: dead rows are there like others."""
    for found in COMPRESSED.finditer(raw):
        at = found.start()
        length = int.from_bytes(found.group(), "little") >> 2
        if at % 4 == 0 and length > 8 and at % PAGE + length <= PAGE:
            contents = decompressed(raw[at + 4 : at + length])
            if contents is not None:
                yield contents


class Chunk(NamedTuple):
    """A row of a TOAST table."""

    value: int
    number: int
    contents: bytes


def toasted_values(raw: bytes) -> Iterator[bytes]:
    """The values whose chunks stand in pages, each of its chunks joined as far as they follow each other."""
    values: defaultdict[int, dict[int, bytes]] = defaultdict(dict)
    for start in range(0, len(raw) - PAGE + 1, PAGE):
        for chunk in _chunks(raw[start : start + PAGE]):
            values[chunk.value][chunk.number] = chunk.contents
    for chunks in values.values():
        joined = b"".join(chunk for number, chunk in sorted(chunks.items()) if number < len(chunks))
        yield joined
        if (contents := decompressed(joined)) is not None:
            yield contents


def _chunks(page: bytes) -> Iterator[Chunk]:
    """The rows of a page that look like chunks."""
    lower, _, _, version = unpack_from("<4H", page, 12)
    if version != PAGE | LAYOUT:
        return
    for at in range(PAGE_HEADER, min(lower, PAGE), LINE_POINTER):
        (pointer,) = unpack_from("<I", page, at)
        offset, state, length = pointer & 0x7FFF, pointer >> 15 & 3, pointer >> 17
        if state != NORMAL or offset + length > PAGE or length < 36:
            continue
        row = page[offset : offset + length]
        data = row[row[22] :]
        if len(data) < 12:
            continue
        value, number, header = unpack_from("<IiI", data)
        if data[8] & 1:
            yield Chunk(value, number, data[9 : 8 + (data[8] >> 1)])
        elif header & 3 == 0:
            yield Chunk(value, number, data[12 : 8 + (header >> 2)])


def decompressed(stored: bytes) -> bytes | None:
    """The contents of a value from its second header on; None if it is no compressed value.

    Of a value whose end is missing, as much as there is.
    """
    if len(stored) < 5:
        return None
    (header,) = unpack_from("<I", stored)
    length, method = header & LENGTH_BITS, header >> 30
    if not len(stored) - 4 <= length <= LONGEST or method > 1:
        return None
    if method == 0:
        return pglz(stored[4:], length)
    try:
        return bytes(cramjam.lz4.decompress_block(stored[4:], output_len=length))
    except (cramjam.DecompressionError, ValueError):
        return None


def pglz(compressed: bytes, length: int) -> bytes | None:
    """Bytes decompressed by pglz (src/common/pg_lzcompress.c); None if they are none."""
    out, at = bytearray(), 0
    while at < len(compressed) and len(out) < length:
        control = compressed[at]
        at += 1
        for bit in range(8):
            if at >= len(compressed) or len(out) >= length:
                break
            if not control >> bit & 1:
                out.append(compressed[at])
                at += 1
                continue
            if at + 2 > len(compressed):
                return bytes(out)
            count, distance = (compressed[at] & 0x0F) + 3, (compressed[at] & 0xF0) << 4 | compressed[at + 1]
            at += 2
            if count == 18:
                if at == len(compressed):
                    return bytes(out)
                count += compressed[at]
                at += 1
            if not 0 < distance <= len(out):
                return None
            for _ in range(count):
                out.append(out[-distance])
    return bytes(out[:length])


def wal_records(raw: bytes) -> bytes:
    """A WAL file without the headers of its pages, which stand within records; to the last page that was written."""
    raw, parts = raw.rstrip(b"\0"), []
    raw += bytes(-len(raw) % PAGE)
    for start in range(0, len(raw), PAGE):
        (info,) = unpack_from("<H", raw, start + 2)
        parts.append(raw[start + (WAL_FIRST_HEADER if info & WAL_LONG else WAL_HEADER) : start + PAGE])
    return b"".join(parts)
