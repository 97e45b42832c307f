"""Since when a partition folds each view: kept in the partition's own table, told to readers with its watermark.

A view that was there at the partition's beginning has everything (birth 0). One that comes later, or changes, which
makes it another, counts what happens more than five minutes after its birth: no event of so late a time can have been
applied before.
"""

import msgspec

KEY = b"\0births"  # no subject begins with a null byte
DECODER = msgspec.msgpack.Decoder(dict[int, int])


def decode(raw: bytes | None) -> dict[int, int]:
    """Births in ms by the view's fingerprint."""
    return DECODER.decode(raw) if raw else {}


def encode(coverage_starts_ms: dict[int, int]) -> bytes:
    return msgspec.msgpack.encode(coverage_starts_ms)
