"""Identities: the newest are known, whatever the order they came in."""

from hypothesis import given
from hypothesis import strategies as st

from featurestore.tiles import deduplication
from featurestore.tiles.deduplication import ENTRY, KEPT, SIZE, SPAN_S, knows, remembers, with_one

entries = st.lists(
    st.tuples(
        st.integers(0, 3 * SPAN_S) | st.integers(SPAN_S, SPAN_S + 400),
        st.integers(0, 2**63 - 1) | st.integers(0, 2**16),
    ),
    unique_by=lambda entry: entry[1],
    max_size=400,
)


def all_of(events: list[tuple[int, int]]) -> bytes:
    known = b""
    for time_s, event_id_hash in events:
        known = with_one(known, time_s, event_id_hash)
    return known


def expected(events: list[tuple[int, int]]) -> list[tuple[int, int]]:
    floor_s = max((time_s for time_s, _ in events), default=0) - SPAN_S
    return sorted(event for event in events if event[0] >= floor_s)[-KEPT:]


@given(entries, st.randoms())
def test_the_newest_are_kept_in_any_order(events: list[tuple[int, int]], random: object) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    known = all_of(events)
    assert known == all_of(shuffled)
    assert [ENTRY.unpack_from(known, at) for at in range(0, len(known), SIZE)] == expected(events)


@given(entries, st.integers(0, 2**63 - 1))
def test_an_event_is_known_as_long_as_it_is_kept(events: list[tuple[int, int]], other: int) -> None:
    known, kept = all_of(events), {event_id_hash for _, event_id_hash in expected(events)}
    assert {event_id_hash for _, event_id_hash in events if knows(known, event_id_hash)} == kept
    assert knows(known, other) == (other in kept)


@given(entries, st.integers(0, 3 * SPAN_S), st.integers(0, 2**63 - 1))
def test_an_event_that_is_remembered_will_be_known(
    events: list[tuple[int, int]], time_s: int, event_id_hash: int
) -> None:
    known = all_of(events)
    if remembers(known, time_s, event_id_hash) and not knows(known, event_id_hash):
        assert knows(with_one(known, time_s, event_id_hash), event_id_hash)


@given(entries)
def test_a_forgotten_event_is_not_remembered(events: list[tuple[int, int]]) -> None:
    known = all_of(events)
    forgotten = [event for event in events if event not in expected(events)]
    assert not any(remembers(known, *event) for event in forgotten)


def test_bytes_across_two_entries_are_no_identity() -> None:
    known = with_one(with_one(b"", 1, 0x0102030405060708), 2, 0x1112131415161718)
    across = int.from_bytes(known[deduplication.IDENTITY_AT + 2 : deduplication.IDENTITY_AT + 10], "big")
    assert not knows(known, across)
