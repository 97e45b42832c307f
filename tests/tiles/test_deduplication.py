"""Deduplication window: the newest events, in whatever order they came."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.tiles import deduplication
from featurestore.tiles.deduplication import (
    DEDUPLICATION_SPAN_S,
    ENTRY_SIZE,
    HASH_MASK,
    HASH_OFFSET,
    STEP_S,
    add,
    contains,
    covers,
    entry_of,
)

entries = st.lists(
    st.tuples(
        st.integers(0, 3 * DEDUPLICATION_SPAN_S) | st.integers(DEDUPLICATION_SPAN_S, DEDUPLICATION_SPAN_S + 400),
        st.integers(0, 2**63 - 1) | st.integers(0, 2**16),
    ),
    unique_by=lambda entry: entry[1] & HASH_MASK,
    max_size=100,
)


@pytest.fixture(autouse=True, scope="module", params=[1_024, 20])
def bound(request: pytest.FixtureRequest) -> Iterator[None]:
    """Also a bound that examples reach."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deduplication, "DEDUPLICATION_EVENTS", request.param)
        yield


def window_of(events: list[tuple[int, int]]) -> bytes:
    window = b""
    for time_s, event_id_hash in events:
        window = add(window, entry_of(time_s, event_id_hash))
    return window


def expected(events: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The newest events, by their step of time and the last bits of their hashes."""
    floor = max((time_s for time_s, _ in events), default=0) // STEP_S - DEDUPLICATION_SPAN_S // STEP_S
    recent = [event for event in events if event[0] // STEP_S >= floor]
    return sorted(recent, key=lambda event: (event[0] // STEP_S, event[1] & HASH_MASK))[
        -deduplication.DEDUPLICATION_EVENTS :
    ]


@given(entries, st.randoms())
def test_window_has_the_newest_events_in_any_order(events: list[tuple[int, int]], random: object) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    window = window_of(events)
    assert window == window_of(shuffled)
    entries = [window[at : at + ENTRY_SIZE] for at in range(0, len(window), ENTRY_SIZE)]
    found = [(int.from_bytes(one[:HASH_OFFSET], "big"), int.from_bytes(one[HASH_OFFSET:], "big")) for one in entries]
    assert found == [(time_s // STEP_S, event_id_hash & HASH_MASK) for time_s, event_id_hash in expected(events)]


@given(entries, st.integers(0, 2**63 - 1))
def test_window_contains_exactly_its_events(events: list[tuple[int, int]], other: int) -> None:
    window, kept = window_of(events), {event_id_hash for _, event_id_hash in expected(events)}
    assert {event_id_hash for _, event_id_hash in events if contains(window, entry_of(0, event_id_hash))} == kept
    assert contains(window, entry_of(0, other)) == (
        other & HASH_MASK in {event_id_hash & HASH_MASK for event_id_hash in kept}
    )


@given(entries, st.integers(0, 3 * DEDUPLICATION_SPAN_S), st.integers(0, 2**63 - 1))
def test_covered_event_is_contained_once_added(events: list[tuple[int, int]], time_s: int, event_id_hash: int) -> None:
    window = window_of(events)
    entry = entry_of(time_s, event_id_hash)
    if covers(window, entry) and not contains(window, entry):
        assert contains(add(window, entry), entry)


@given(entries)
def test_dropped_event_is_not_covered(events: list[tuple[int, int]]) -> None:
    window = window_of(events)
    dropped = [event for event in events if event not in expected(events)]
    assert not any(covers(window, entry_of(*event)) for event in dropped)


def test_hash_across_two_entries_is_not_contained() -> None:
    window = add(add(b"", entry_of(1_000, 0x0102030405060708)), entry_of(2_000, 0x1112131415161718))
    across = int.from_bytes(window[HASH_OFFSET + 2 : HASH_OFFSET + 8], "big")
    assert not contains(window, entry_of(0, across))
