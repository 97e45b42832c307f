"""What a stream says, as server-sent events (the WHATWG's HTML standard, 9.2). Pure.

An event's data is one line of JSON. A comment, which no client shows, tells that the connection lives.
"""

from enum import StrEnum

import msgspec

MEDIA_TYPE = "text/event-stream"
RECONNECT_MS = 1000
BEGINNING = b"retry: %d\n\n" % RECONNECT_MS
HEARTBEAT = b": still here\n\n"


class Event(StrEnum):
    """The events of a stream."""

    FEATURES = "features"  # the whole answer, as POST /v1/features gives it; the newest one counts
    UNAVAILABLE = "unavailable"  # a problem document: what was told before may not be used until the next answer
    CLOSED = "closed"  # the last one: a Closing


class Ending(StrEnum):
    """Why a stream ends."""

    WITHHELD = "withheld"  # the customer's permission does not hold, or no longer
    REFUSED = "refused"  # the key may no longer ask this
    LIFETIME = "lifetime"  # it was open for as long as streams are
    STOPPING = "stopping"  # its process stops
    SLOW = "slow"  # the client did not read for too long, so it can't be told
    GONE = "gone"  # the client went away
    FAILED = "failed"  # our fault; the log says which


class Closing(msgspec.Struct, frozen=True):
    """The data of ``closed``. ``reconnect`` says whether the same request can be answered again at once."""

    reason: Ending
    detail: str
    reconnect: bool


CLOSINGS = {
    Ending.WITHHELD: ("The customer does not allow this purpose. Ask again after a new consent.", False),
    Ending.LIFETIME: ("The stream was open for as long as one may be.", True),
    Ending.STOPPING: ("The process stops.", True),
}
"""What a client is told, and whether to come again. Of REFUSED the problem tells; of the others nobody hears."""


def closing(ending: Ending, refusal: str = "") -> Closing | None:
    """What is left to say to a client; None where nobody listens any more."""
    if ending is Ending.REFUSED:
        return Closing(ending, refusal, reconnect=False)
    return Closing(ending, *CLOSINGS[ending]) if ending in CLOSINGS else None


def event(name: Event, data: bytes, id_: str) -> bytes:
    """One event, ready to be sent. Data is JSON as the encoder writes it, without line breaks."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (id_.encode(), name.encode(), data)
