"""Server-sent events (WHATWG HTML standard, 9.2): bytes of the events of a stream. Pure.

The data of an event are one line of JSON. A comment, which clients ignore, is the heartbeat.
"""

from enum import StrEnum

import msgspec

MEDIA_TYPE = "text/event-stream"
RECONNECT_MS = 1000
BEGINNING = b"retry: %d\n\n" % RECONNECT_MS
HEARTBEAT = b": still here\n\n"


class Event(StrEnum):
    """The events of a stream."""

    FEATURES = "features"  # the answer of POST /v1/features; it replaces the one before
    UNAVAILABLE = "unavailable"  # a problem document: until the next answer no earlier one may be used
    CLOSED = "closed"  # the last one: a Closed


class Ending(StrEnum):
    """Why a stream ends."""

    WITHHELD = "withheld"  # the customer does not allow the purpose, or no longer
    REFUSED = "refused"  # the key may not read this, or no longer
    LIFETIME = "lifetime"  # it has reached its longest duration
    STOPPING = "stopping"  # the process stops
    SLOW = "slow"  # the client did not read for too long, and can't be sent a reason
    GONE = "gone"  # the client closed the connection
    FAILED = "failed"  # an error of ours, in the log


class Closed(msgspec.Struct, frozen=True):
    """The data of ``closed``. ``reconnect``: the same request may be sent again at once."""

    reason: Ending
    detail: str
    reconnect: bool


DETAILS = {
    Ending.WITHHELD: ("The customer does not allow this purpose. Open a stream again after a new consent.", False),
    Ending.LIFETIME: ("The stream has reached its longest duration.", True),
    Ending.STOPPING: ("The process stops.", True),
}
"""Detail and ``reconnect`` by ending. The detail of REFUSED is its problem's; the other endings have no client left."""


def closed(ending: Ending, refusal: str = "") -> Closed | None:
    """The data of a stream's last event; None where no client is left to read it."""
    if ending is Ending.REFUSED:
        return Closed(ending, refusal, reconnect=False)
    return Closed(ending, *DETAILS[ending]) if ending in DETAILS else None


def encode_event(name: Event, data: bytes, id_: str) -> bytes:
    """The bytes of one event. Data are JSON without line breaks.

    >>> encode_event(Event.CLOSED, b'{"reason":"stopping"}', "7f-3")
    b'id: 7f-3\\nevent: closed\\ndata: {"reason":"stopping"}\\n\\n'
    """
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (id_.encode(), name.encode(), data)
