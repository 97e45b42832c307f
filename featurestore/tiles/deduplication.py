"""Deduplication window: the events that counted lately, so that an event that comes again counts once. Pure.

The window of a subject and source is one bytes object. An entry, big-endian, is an event's time in seconds (u32) and
its event_id_hash (63 bits), so the order of entries as bytes is that of time and hash. The window holds the newest
DEDUPLICATION_EVENTS, and none of them more than DEDUPLICATION_SPAN_S older than its newest: a function of the set of
events that counted, whatever their order.

>>> window = add(add(b"", time_s=60, event_id_hash=0xAB), time_s=7, event_id_hash=0xCD)
>>> window.hex(" ", 4), contains(window, 0xAB)
('00000007 00000000 000000cd 0000003c 00000000 000000ab', True)
"""

from struct import Struct

DEDUPLICATION_EVENTS = 256
DEDUPLICATION_SPAN_S = 7 * 86_400

ENTRY = Struct(">IQ")
TIME = Struct(">I")
HASH = Struct(">Q")
ENTRY_SIZE, HASH_OFFSET = ENTRY.size, TIME.size


def contains(window: bytes, event_id_hash: int) -> bool:
    """Whether an event is among those of the window."""
    sought = HASH.pack(event_id_hash)
    offset = window.find(sought, HASH_OFFSET)
    while offset >= 0 and offset % ENTRY_SIZE != HASH_OFFSET:  # across two entries
        offset = window.find(sought, offset + 1)
    return offset >= 0


def covers(window: bytes, time_s: int, event_id_hash: int) -> bool:
    """Whether the window would still contain an event of this time, had it counted."""
    if not window:
        return True
    full = len(window) >= DEDUPLICATION_EVENTS * ENTRY_SIZE
    recent = time_s >= _newest_s(window) - DEDUPLICATION_SPAN_S
    return recent and not (full and ENTRY.pack(time_s, event_id_hash) < window[:ENTRY_SIZE])


def add(window: bytes, time_s: int, event_id_hash: int) -> bytes:
    """The window with one more event, which it does not contain."""
    entry = ENTRY.pack(time_s, event_id_hash)
    if not window:
        return entry
    if entry > window[-ENTRY_SIZE:]:
        window += entry
    else:
        offset = _offset(window, entry)
        window = window[:offset] + entry + window[offset:]
    oldest = ENTRY.pack(max(_newest_s(window) - DEDUPLICATION_SPAN_S, 0), 0)
    first = max(len(window) - DEDUPLICATION_EVENTS * ENTRY_SIZE, 0)
    if window[first : first + ENTRY_SIZE] < oldest:
        first = _offset(window, oldest)
    return window[first:] if first else window


def _newest_s(window: bytes) -> int:
    return int(TIME.unpack_from(window, len(window) - ENTRY_SIZE)[0])


def _offset(window: bytes, entry: bytes) -> int:
    """The byte offset at which an entry keeps the window sorted."""
    low, high = 0, len(window) // ENTRY_SIZE
    while low < high:
        middle = (low + high) // 2
        if window[middle * ENTRY_SIZE : middle * ENTRY_SIZE + ENTRY_SIZE] < entry:
            low = middle + 1
        else:
            high = middle
    return low * ENTRY_SIZE
