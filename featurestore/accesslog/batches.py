"""Batches of access records and request counts, as msgpack, from a process to the consumer. Pure.

A process numbers its batches from 1, and its records from 0. By a batch's number the consumer recognises one that comes
twice; by the number of its first record, how many records are missing before it:

    batch 1: first 0, reads [r0, r1]      stored
    batch 2: first 2, reads [r2]          lost
    batch 3: first 3, reads [r3, r4]      stored; 3 - 2 = 1 record is missing
    batch 3 again                         ignored

Structs are arrays on the wire: a later version may append fields.
"""

from typing import Annotated

import msgspec

PROCESS_LENGTH = 16
MAX_EVICTED = 1_000
"""Subjects whose values a batch asks for. The next read asks again."""
MAX_TIME_MS = 253_402_300_799_999  # the last millisecond of the year 9999, the latest that a database stores

Text = Annotated[str, msgspec.Meta(max_length=100, pattern=r"^[^\x00]*\Z")]  # no database stores a NUL
Number = Annotated[int, msgspec.Meta(ge=0, lt=2**40)]
TimeMs = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)]
Subject = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]


class BadBatch(ValueError):
    """Error of bytes that are no batch. The message repeats nothing of them."""


class BatchContext(msgspec.Struct, array_like=True, frozen=True):
    """A read context, stated once in a batch: what many reads share. ``withheld`` maps a view to the reason."""

    client: Text
    credential: Text
    service: Text
    purpose: Text
    given: list[Text]
    withheld: dict[Text, Text]


class Read(msgspec.Struct, array_like=True, frozen=True):
    """One access record: the read of one subject. ``context`` is an index into the batch's contexts."""

    context: Number
    subject: Subject
    at_ms: TimeMs
    request_id: Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[^\x00]*\Z")]


class RequestCount(msgspec.Struct, array_like=True, frozen=True):
    """Number of a client's requests that a route answered with a status. Client "": no valid credential."""

    client: Text
    route: Text
    status: Annotated[int, msgspec.Meta(ge=100, le=599)]
    count: Annotated[int, msgspec.Meta(ge=1, lt=2**40)]


class Batch(msgspec.Struct, array_like=True, frozen=True):
    """What one process gathered between two flushes; or a heartbeat, or its shutdown record.

    ``first`` is the number of the first read, or of the process's next one. Batch number 0 is a heartbeat, which may be
    sent at any time. ``shutdown`` marks the shutdown record, the last batch of a process. ``evicted``: the subjects
    that were read without values because they had been idle: the consumer has them pushed to the store again.
    """

    process: Annotated[str, msgspec.Meta(pattern=rf"^[0-9a-f]{{{PROCESS_LENGTH}}}\Z")]
    started_ms: TimeMs
    number: Number
    created_ms: TimeMs
    first: Number
    contexts: list[BatchContext] = []
    reads: list[Read] = []
    requests: list[RequestCount] = []
    shutdown: bool = False
    evicted: Annotated[list[Subject], msgspec.Meta(max_length=MAX_EVICTED)] = []

    @property
    def next(self) -> int:
        """The number of the record after the last one of the batch."""
        return self.first + len(self.reads)


encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Batch).decode


def decode(raw: bytes) -> Batch:
    """A batch from the stream. Raises BadBatch."""
    try:
        batch = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadBatch(type(error).__name__) from None
    if any(read.context >= len(batch.contexts) for read in batch.reads):
        raise BadBatch("a read's context is not in the batch")
    return batch
