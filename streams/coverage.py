"""Coverage starts: since when a partition folds each view. Stored in the partition's own table, published to readers
with its watermark.

A view that a partition has folded from its first offset covers everything: its coverage start is 0. A view that is
added or changed later (a changed view is another view) counts the events later than five minutes after that moment:
nothing with so late a time can have been applied before.
"""

import msgspec

KEY = b"\0coverage"  # no subject begins with a null byte
OUTDATED_KEY = b"\0births"  # of versions before 0.2
DECODER = msgspec.msgpack.Decoder(dict[int, int])


def decode(raw: bytes | None) -> dict[int, int]:
    """Coverage starts in ms by the view's fingerprint."""
    return DECODER.decode(raw) if raw else {}


def encode(coverage_starts_ms: dict[int, int]) -> bytes:
    return msgspec.msgpack.encode(coverage_starts_ms)
