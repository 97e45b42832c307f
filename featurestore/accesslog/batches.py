"""What an API process sends of reads and requests: batches, as msgpack. Pure.

A process numbers its records one after the other, and its batches too. By the batch's number the collector knows one
that came twice; by the record's it knows what is missing before a batch, and how much.

Structs are arrays on the wire: a later version may add fields at their ends.
"""

from typing import Annotated

import msgspec

PROCESS_LENGTH = 16
LATEST_MS = 253_402_300_799_999  # the last millisecond of the year 9999, the latest that a database holds

Text = Annotated[str, msgspec.Meta(max_length=100, pattern=r"^[^\x00]*\Z")]  # no database holds a NUL
Number = Annotated[int, msgspec.Meta(ge=0, lt=2**40)]
TimeMs = Annotated[int, msgspec.Meta(ge=0, le=LATEST_MS)]


class BadBatch(ValueError):
    """Bytes that are no batch. The message repeats nothing of them."""


class Kind(msgspec.Struct, array_like=True, frozen=True):
    """Who asked for what, and what they got: what many reads have in common. ``withheld`` has the reason by view."""

    client: Text
    credential: Text
    service: Text
    purpose: Text
    given: list[Text]
    withheld: dict[Text, Text]


class Read(msgspec.Struct, array_like=True, frozen=True):
    """One subject's part of a read. ``kind`` is the place of its kind in the batch."""

    kind: Number
    subject: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
    at_ms: TimeMs
    request_id: Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[^\x00]*\Z")]


class Requests(msgspec.Struct, array_like=True, frozen=True):
    """How many requests of a client a route answered with a status. The client is "" where nobody knows it."""

    client: Text
    route: Text
    status: Annotated[int, msgspec.Meta(ge=100, le=599)]
    count: Annotated[int, msgspec.Meta(ge=1, lt=2**40)]


class Batch(msgspec.Struct, array_like=True, frozen=True):
    """What one process, at work since a time, gathered until another.

    ``first`` is the number of its first record, or of the next to come. Batch number 0 is a word: it says that the
    process is alive, and may be sent at any time. ``ended``: its last one.
    """

    process: Annotated[str, msgspec.Meta(pattern=rf"^[0-9a-f]{{{PROCESS_LENGTH}}}\Z")]
    begun_ms: TimeMs
    number: Number
    made_ms: TimeMs
    first: Number
    kinds: list[Kind] = []
    reads: list[Read] = []
    requests: list[Requests] = []
    ended: bool = False

    @property
    def next(self) -> int:
        """The number of the record after its last one."""
        return self.first + len(self.reads)


encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Batch).decode


def decode(raw: bytes) -> Batch:
    """A batch from outside. Raises BadBatch."""
    try:
        batch = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBatch(type(error).__name__) from None
    if any(read.kind >= len(batch.kinds) for read in batch.reads):
        raise BadBatch("a read of a kind that the batch does not have")
    return batch
