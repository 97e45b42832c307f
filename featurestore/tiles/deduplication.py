"""Which events counted lately: what makes an event that comes again count once. Pure.

The identities of a subject and source are one bytes object: for each, the event's time in seconds and its 63-bit
identity, big-endian, so that their order as bytes is that of time and identity. The newest KEPT are kept, and of those
none that is over SPAN_S older than the newest: a function of the set of events that counted, whatever their order.
"""

from struct import Struct

KEPT = 256
SPAN_S = 7 * 86_400

ENTRY = Struct(">IQ")
TIME = Struct(">I")
IDENTITY = Struct(">Q")
SIZE, IDENTITY_AT = ENTRY.size, TIME.size


def knows(identities: bytes, event_id_hash: int) -> bool:
    """Whether an event of this identity counted."""
    sought = IDENTITY.pack(event_id_hash)
    at = identities.find(sought, IDENTITY_AT)
    while at >= 0 and at % SIZE != IDENTITY_AT:  # across two entries
        at = identities.find(sought, at + 1)
    return at >= 0


def remembers(identities: bytes, time_s: int, event_id_hash: int) -> bool:
    """Whether an event of this time and identity would still be known, had it counted."""
    if not identities:
        return True
    full = len(identities) >= KEPT * SIZE
    recent = time_s >= _newest_s(identities) - SPAN_S
    return recent and not (full and ENTRY.pack(time_s, event_id_hash) < identities[:SIZE])


def with_one(identities: bytes, time_s: int, event_id_hash: int) -> bytes:
    """The identities with one more, which is not among them."""
    entry = ENTRY.pack(time_s, event_id_hash)
    if not identities:
        return entry
    if entry > identities[-SIZE:]:
        identities += entry
    else:
        at = _place(identities, entry)
        identities = identities[:at] + entry + identities[at:]
    oldest = ENTRY.pack(max(_newest_s(identities) - SPAN_S, 0), 0)
    first = max(len(identities) - KEPT * SIZE, 0)
    if identities[first : first + SIZE] < oldest:
        first = _place(identities, oldest)
    return identities[first:] if first else identities


def _newest_s(identities: bytes) -> int:
    return int(TIME.unpack_from(identities, len(identities) - SIZE)[0])


def _place(identities: bytes, entry: bytes) -> int:
    """Where an entry belongs, in bytes from the beginning."""
    low, high = 0, len(identities) // SIZE
    while low < high:
        middle = (low + high) // 2
        if identities[middle * SIZE : middle * SIZE + SIZE] < entry:
            low = middle + 1
        else:
            high = middle
    return low * SIZE
