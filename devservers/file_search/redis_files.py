"""Contents of Redis's files: the strings that an RDB file, or the beginning of an AOF, holds compressed by LZF. Pure.

Such a string is (Redis's rdb.c) a byte 0xC3, the compressed length, the length, and the compressed bytes. A length is 6
or 14 bits of one or two bytes, or a byte 0x80 and 32 bits.
"""

import re
from collections.abc import Iterator

LZF_STRING = re.compile(rb"\xc3")
LONGEST = 64 * 1024 * 1024


def unpacked_strings(raw: bytes) -> Iterator[bytes]:
    """The contents of all bytes that are an LZF string."""
    for found in LZF_STRING.finditer(raw):
        try:
            at, compressed = _length(raw, found.end())
            at, length = _length(raw, at)
            if 0 < compressed < length <= LONGEST and at + compressed <= len(raw):
                yield lzf(raw[at : at + compressed], length)
        except (ValueError, IndexError):
            continue  # the byte was another one


def _length(raw: bytes, at: int) -> tuple[int, int]:
    """Where a length ends, and the length."""
    kind, low = raw[at] >> 6, raw[at] & 0x3F
    if kind == 0:
        return at + 1, low
    if kind == 1:
        return at + 2, low << 8 | raw[at + 1]
    if raw[at] == 0x80:
        return at + 5, int.from_bytes(raw[at + 1 : at + 5], "big")
    raise ValueError("no length of a string")


def lzf(compressed: bytes, length: int) -> bytes:
    """Bytes decompressed by LZF (liblzf's lzf_d.c). Raises ValueError, IndexError."""
    out, at = bytearray(), 0
    while at < len(compressed):
        control = compressed[at]
        at += 1
        if control < 32:
            out += compressed[at : at + control + 1]
            at += control + 1
            continue
        count, distance = control >> 5, (control & 31) << 8
        if count == 7:
            count += compressed[at]
            at += 1
        start = len(out) - distance - compressed[at] - 1
        at += 1
        if start < 0 or len(out) + count + 2 > length:
            raise ValueError("it refers to what is not there")
        for index in range(start, start + count + 2):
            out.append(out[index])
    if len(out) != length:
        raise ValueError("it has another length")
    return bytes(out)
