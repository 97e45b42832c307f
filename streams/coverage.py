"""Coverage starts: the times from which a partition counts events of each view.

They are stored in the partition's own table, by the view's fingerprint, and published with its watermark. A view that a
partition folds from its first offset counts every event: its coverage start is 0, or the start of the generation, if it
replaces an earlier one (``RAPPORT_GENERATION_START``). A view that is added or changed later
(a changed view has another fingerprint) counts the events more than MAX_CLOCK_SKEW_S later than that moment: none of
them can have been applied before.

>>> added = extend({7: 0}, fingerprints=[7, 8], now_ms=1_000_000, at_beginning=False)
>>> added, decode(encode(added)) == added
({7: 0, 8: 1300001}, True)
"""

from collections.abc import Iterable, Mapping

import msgspec

from featurestore.definitions.windows import MAX_CLOCK_SKEW_S

KEY = b"\0coverage"  # no subject begins with a null byte
OUTDATED_KEY = b"\0births"  # of versions before 0.2
DECODER = msgspec.msgpack.Decoder(dict[int, int])


def extend(
    known: Mapping[int, int], fingerprints: Iterable[int], now_ms: int, *, at_beginning: bool, first_ms: int = 0
) -> dict[int, int]:
    """The coverage starts of views, by fingerprint: those known, and one from now on for a view that is new.

    ``at_beginning``: nothing of the partition is applied yet. Then the start is ``first_ms``: no event before
    it counts.
    """
    new_start_ms = first_ms if at_beginning and not known else now_ms + MAX_CLOCK_SKEW_S * 1000 + 1
    return {fingerprint: known.get(fingerprint, new_start_ms) for fingerprint in fingerprints}


def decode(raw: bytes | None) -> dict[int, int]:
    """Coverage starts in ms by the view's fingerprint."""
    return DECODER.decode(raw) if raw else {}


def encode(coverage_starts_ms: dict[int, int]) -> bytes:
    return msgspec.msgpack.encode(coverage_starts_ms)
