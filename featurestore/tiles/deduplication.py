"""Deduplication window: the events that counted lately, so that an event that comes again counts once. Pure.

The window of a subject and source is one bytes object. An entry, big-endian, is an event's time in steps of 256 s
(3 bytes) and the last 48 bits of its event_id_hash, so the order of entries as bytes is that of time and hash. The
window holds the newest DEDUPLICATION_EVENTS, and none of them more than DEDUPLICATION_SPAN_S older than its newest: a
function of the set of events that counted, whatever their order. Two events have equal 48 bits once in 3e14 times: with
a full window, one event of 3e11 is taken for another.

>>> window = add(add(b"", entry_of(time_s=600, event_id_hash=0xAB)), entry_of(time_s=7, event_id_hash=0xCD))
>>> window.hex(" ", 3), contains(window, entry_of(600, 0xAB))
('000000 000000 0000cd 000002 000000 0000ab', True)
"""

DEDUPLICATION_EVENTS = 1_024
STEP_S = 256
SPAN_STEPS = 2_363
DEDUPLICATION_SPAN_S = SPAN_STEPS * STEP_S  # 7 days

HASH_SIZE, HASH_OFFSET = 6, 3
HASH_BITS = 8 * HASH_SIZE
HASH_MASK = (1 << HASH_BITS) - 1
ENTRY_SIZE = HASH_OFFSET + HASH_SIZE


def entry_of(time_s: int, event_id_hash: int) -> bytes:
    """The entry of an event."""
    return (time_s // STEP_S << HASH_BITS | event_id_hash & HASH_MASK).to_bytes(ENTRY_SIZE, "big")


def contains(window: bytes, entry: bytes) -> bool:
    """Whether an event is among those of the window, whatever its time."""
    sought = entry[HASH_OFFSET:]
    offset = window.find(sought, HASH_OFFSET)
    while offset >= 0 and offset % ENTRY_SIZE != HASH_OFFSET:  # across two entries
        offset = window.find(sought, offset + 1)
    return offset >= 0


def covers(window: bytes, entry: bytes) -> bool:
    """Whether the window would still contain an event, had it counted."""
    if not window or entry > window[-ENTRY_SIZE:]:
        return True
    full = len(window) >= DEDUPLICATION_EVENTS * ENTRY_SIZE
    return _step(entry, 0) >= _oldest_step(window) and not (full and entry < window[:ENTRY_SIZE])


def add(window: bytes, entry: bytes) -> bytes:
    """The window with one more event, which it does not contain."""
    if not window:
        return entry
    if entry > window[-ENTRY_SIZE:]:
        window += entry
    else:
        offset = _offset(window, entry)
        window = window[:offset] + entry + window[offset:]
    oldest_step, first = _oldest_step(window), len(window) - DEDUPLICATION_EVENTS * ENTRY_SIZE
    if first < 0:
        first = 0
    if _step(window, first) < oldest_step:
        first = _offset(window, (oldest_step << HASH_BITS).to_bytes(ENTRY_SIZE, "big"))
    return window[first:] if first else window


def _step(entries: bytes, offset: int) -> int:
    """The step of time of the entry at a byte offset."""
    return int.from_bytes(entries[offset : offset + HASH_OFFSET], "big")


def _oldest_step(window: bytes) -> int:
    """The step before which an event is too old beside the window's newest."""
    return int.from_bytes(window[-ENTRY_SIZE:-HASH_SIZE], "big") - SPAN_STEPS


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
