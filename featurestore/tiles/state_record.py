"""State record: the streams' state of one subject for one source, as a table and its changelog hold it. Pure.

Its bytes are msgpack in a canonical order, so they are a function of the set of events that counted, whatever
their order, batching or replay; but for what states in which order they came: ``offset`` and ``unchecked_s``.
"""

import msgspec


class StoredTiles(msgspec.Struct, array_like=True):
    """Tiles of one view as ``EncodedTiles.tiles`` (featurestore.tiles.view_codec), with each purpose's grant id.

    ``unchecked_s`` is the second of the newest event that counted though it was too old for the deduplication window.
    """

    grant_ids: dict[str, int]
    tiles: bytes
    unchecked_s: int = 0


class StateRecord(msgspec.Struct, array_like=True):
    """All state of one subject for one source.

    ``offset`` is that of the last event applied. ``deduplication_window`` has the events that counted lately
    (featurestore.tiles.deduplication). ``views`` has a view's tiles once for all purposes whose tiles are equal.
    """

    offset: int = -1
    deduplication_window: bytes = b""
    views: dict[str, list[StoredTiles]] = {}

    def encode(self) -> bytes:
        return ENCODER.encode(self)


ENCODER = msgspec.msgpack.Encoder()
DECODER = msgspec.msgpack.Decoder(StateRecord)


class UnknownFormat(ValueError):
    """A table's value that is no state record of this version."""


def decode(raw: bytes) -> StateRecord:
    """The state record in a table's value. Raises UnknownFormat."""
    try:
        return DECODER.decode(raw)
    except msgspec.DecodeError as error:
        problem = f"a table holds a value that this version can't read ({error})"
        raise UnknownFormat(f"{problem}: start a new generation, RAPPORT_GENERATION one higher") from None
