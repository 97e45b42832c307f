"""Deduplication window: the newest events, in whatever order they came."""

from hypothesis import given
from hypothesis import strategies as st

from featurestore.tiles import deduplication
from featurestore.tiles.deduplication import (
    DEDUPLICATION_EVENTS,
    DEDUPLICATION_SPAN_S,
    ENTRY,
    ENTRY_SIZE,
    add,
    contains,
    covers,
)

entries = st.lists(
    st.tuples(
        st.integers(0, 3 * DEDUPLICATION_SPAN_S) | st.integers(DEDUPLICATION_SPAN_S, DEDUPLICATION_SPAN_S + 400),
        st.integers(0, 2**63 - 1) | st.integers(0, 2**16),
    ),
    unique_by=lambda entry: entry[1],
    max_size=400,
)


def window_of(events: list[tuple[int, int]]) -> bytes:
    window = b""
    for time_s, event_id_hash in events:
        window = add(window, time_s, event_id_hash)
    return window


def expected(events: list[tuple[int, int]]) -> list[tuple[int, int]]:
    floor_s = max((time_s for time_s, _ in events), default=0) - DEDUPLICATION_SPAN_S
    return sorted(event for event in events if event[0] >= floor_s)[-DEDUPLICATION_EVENTS:]


@given(entries, st.randoms())
def test_window_has_the_newest_events_in_any_order(events: list[tuple[int, int]], random: object) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    window = window_of(events)
    assert window == window_of(shuffled)
    assert [ENTRY.unpack_from(window, at) for at in range(0, len(window), ENTRY_SIZE)] == expected(events)


@given(entries, st.integers(0, 2**63 - 1))
def test_window_contains_exactly_its_events(events: list[tuple[int, int]], other: int) -> None:
    window, kept = window_of(events), {event_id_hash for _, event_id_hash in expected(events)}
    assert {event_id_hash for _, event_id_hash in events if contains(window, event_id_hash)} == kept
    assert contains(window, other) == (other in kept)


@given(entries, st.integers(0, 3 * DEDUPLICATION_SPAN_S), st.integers(0, 2**63 - 1))
def test_covered_event_is_contained_once_added(events: list[tuple[int, int]], time_s: int, event_id_hash: int) -> None:
    window = window_of(events)
    if covers(window, time_s, event_id_hash) and not contains(window, event_id_hash):
        assert contains(add(window, time_s, event_id_hash), event_id_hash)


@given(entries)
def test_dropped_event_is_not_covered(events: list[tuple[int, int]]) -> None:
    window = window_of(events)
    dropped = [event for event in events if event not in expected(events)]
    assert not any(covers(window, *event) for event in dropped)


def test_hash_across_two_entries_is_not_contained() -> None:
    window = add(add(b"", 1, 0x0102030405060708), 2, 0x1112131415161718)
    across = int.from_bytes(window[deduplication.HASH_OFFSET + 2 : deduplication.HASH_OFFSET + 10], "big")
    assert not contains(window, across)
