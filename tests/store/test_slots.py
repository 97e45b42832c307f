"""Hash slots: equal to another client's, and their notation."""

from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from featurestore.store.redis import subject_key
from featurestore.store.slots import (
    SLOTS,
    Primary,
    format_slots,
    hash_tag,
    overlap,
    parse_primaries,
    parse_slots,
    slot_of,
)

slots = st.sets(st.integers(0, SLOTS - 1), min_size=1, max_size=50)


@given(st.text("0123456789abcdef", min_size=32, max_size=32))
def test_a_subjects_slot_is_that_of_its_key(subject: str) -> None:
    assert slot_of(subject) == key_slot(subject_key(subject).encode())


@given(slots)
def test_formatted_slots_parse_to_the_same_slots(owned: set[int]) -> None:
    text = format_slots((slot, slot) for slot in owned)
    assert parse_slots(text) == owned
    assert (
        format_slots((int(first), int(last)) for first, last in (part.split("-") for part in text.split(","))) == text
    )


@given(slots, slots)
def test_texts_overlap_where_their_slots_do(some: set[int], others: set[int]) -> None:
    texts = [format_slots((slot, slot) for slot in owned) for owned in (some, others)]
    assert overlap(*texts) == bool(some & others)
    assert all(overlap(text, "") for text in texts), "a single server has every slot"


@given(slots)
def test_a_primarys_own_keys_have_one_of_its_slots(owned: set[int]) -> None:
    tag = hash_tag(format_slots((slot, slot) for slot in owned))
    assert key_slot(f"fs:vouch:{{{tag}}}".encode()) in owned


def test_rows_of_one_primary_are_joined() -> None:
    a, b = [b"10.0.0.1", 6379, b"a", []], [None, 6380, b"b", []]
    rows = [[5, 9, b], [0, 3, a, b], [4, 4, a], [20, 20, a]]
    assert parse_primaries(rows) == {b"a": Primary("10.0.0.1", 6379, "0-4,20-20"), b"b": Primary("", 6380, "5-9")}
    assert parse_primaries([[0, 1, [b"?", 1, b"c", []]]])[b"c"].host == ""
