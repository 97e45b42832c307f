"""Decoding of events: valid ones unchanged, invalid ones refused with a message that repeats no value."""

import contextlib
import json
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from featurestore.definitions import InvalidEvent
from featurestore.definitions.fields import LARGEST
from featurestore.definitions.source import LARGEST_EVENT_BYTES
from featurestore.identity import IdentifierError, check_spelling
from tests.definitions.sample_source import SUBJECT, Purchase, purchases, raw

CANARY = "canary@example.org"


def reason(value: bytes) -> str:
    with pytest.raises(InvalidEvent) as refused:
        purchases.decode(value)
    return str(refused.value)


def lookalike(text: str) -> bool:
    """Whether an event's id is refused because it looks like another."""
    try:
        check_spelling(text, "id")
    except IdentifierError:
        return True
    return False


def number(text: str, field: str = "amount") -> bytes:
    """An event with a number in a form that json.dumps would not write."""
    return raw({field: 0}).replace(b": 0", f": {text}".encode())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (raw({"amount": True}), "Expected `decimal | null`, got `bool` - at `$.data.amount`"),
        (raw({"pieces": "3"}), "Expected `int | null`, got `str` - at `$.data.pieces`"),
        (raw({"pieces": 3.5}), "Expected `int | null`, got `float` - at `$.data.pieces`"),
        (raw({"weight_kg": "1"}), "Expected `float | null`, got `str` - at `$.data.weight_kg`"),
        (raw({"gift": "yes"}), "Expected `bool | null`, got `str` - at `$.data.gift`"),
        (raw({"category": "x" * 129}), "Expected `str` of length <= 128 - at `$.data.category`"),
        (raw({"note": "é" * 257}), "text has 514 bytes in UTF-8, at most 512 can be aggregated - at `$.data.note`"),
        (raw({"kind": CANARY}), "Value is none of 'completed', 'returned' - at `$.data.kind`"),
        (raw({CANARY: 1}), "Object contains an unknown field; known are kind, pieces, amount, weight_kg, gift, "
                           "category, note, receipt - at `$.data`"),
        (raw({"amount": "NaN"}), f"number is out of range: at most {LARGEST} in size - at `$.data.amount`"),
        (raw({"amount": "sNaN"}), f"number is out of range: at most {LARGEST} in size - at `$.data.amount`"),
        (raw({"amount": "-Infinity"}), f"number is out of range: at most {LARGEST} in size - at `$.data.amount`"),
        (number("NaN"), "JSON is malformed: invalid character (byte"),
        (number("1e400"), f"number is out of range: at most {LARGEST} in size - at `$.data.amount`"),
        (number("1E+1000000"), f"number is out of range: at most {LARGEST} in size - at `$.data.amount`"),
        (raw({"amount": "-1E+1000000"}), f"number is out of range: at most {LARGEST} in size - at `$.data.amount`"),
        (number("1e400", "weight_kg"), "Number out of range - at `$.data.weight_kg`"),
        (number("1.1e12", "weight_kg"), f"number is not finite or out of range: at most {LARGEST} in size"),
        (number("9" * 5_000, "pieces"), "Integer value out of range - at `$.data.pieces`"),
        (raw({"pieces": LARGEST + 1}), f"number is out of range: at most {LARGEST} in size, in the field's smallest"),
        (raw({"amount": str(LARGEST // 10_000 + 1)}), f"number is out of range: at most {LARGEST} in size, in the f"),
        (raw({"amount": "1.00001"}), "number has more than 4 decimals - at `$.data.amount`"),
        (raw({"amount": "1." + "0" * 50 + "1"}), "number has more than 4 decimals - at `$.data.amount`"),
        (raw({"amount": "1e-999999999"}), "number has more than 4 decimals - at `$.data.amount`"),
        (raw({"amount": CANARY}), "Invalid decimal string - at `$.data.amount`"),
        (raw(time="2026-01-02T03:04:05"), "Expected `datetime` with a timezone component - at `$.time`"),
        (raw(time=CANARY), "Invalid RFC3339 encoded datetime - at `$.time`"),
        (raw(time="1969-12-31T23:59:59.999Z"), "time is before 1970 - at `$.time`"),
        (raw(time="1970-01-01T01:00:00+02:00"), "time is before 1970 - at `$.time`"),
        (raw(time="2106-02-07T06:28:16Z"), "time is 2**32 s or more after 1970, past February 2106 - at `$.time`"),
        (raw(time="9999-12-31T23:59:59-12:00"), "time is 2**32 s or more after 1970, past February 2106 - at `$.time`"),
        (raw(time=1_700_000_000), "Expected `datetime`, got `int` - at `$.time`"),
        (raw(type=CANARY), "type must be test.purchase on topic events.purchases - at `$.type`"),
        (raw(specversion="2.0"), "Value is none of those that the specification allows - at `$.specversion`"),
        (raw(id=None), "Object missing required field `id`"),
        (raw(id=""), "Expected `str` of length >= 1 - at `$.id`"),
        (raw(id="e1\u00a0"), "id must not end with white space or an invisible character: U+00A0 - at `$.id`"),
        (raw(id="\ufeffe1"), "id must not begin with white space or an invisible character: U+FEFF - at `$.id`"),
        (raw(id="Zoe\u0308"), "id must be in Unicode's normal form C (NFC)"),
        (raw(source="till "), "source must not end with white space or an invisible character: U+0020 - at `$.source`"),
        (raw({"receipt": " r1"}), "receipt must not begin with white space or an invisible character: U+0020"),
        (raw({"receipt": "Zoe\u0308"}), "receipt must be in Unicode's normal form C (NFC)"),
        (raw(id="x" * 257), "Expected `str` of length <= 256 - at `$.id`"),
        (raw(subject=CANARY), "Expected `str` matching regex '^[0-9a-f]{32}\\\\Z' - at `$.subject`"),
        (raw(subject=SUBJECT.upper()), "Expected `str` matching regex '^[0-9a-f]{32}\\\\Z' - at `$.subject`"),
        (raw(subject=SUBJECT + "\n"), "Expected `str` matching regex '^[0-9a-f]{32}\\\\Z' - at `$.subject`"),
        (b"", "Input data was truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (CANARY.encode(), "JSON is malformed: invalid character (byte 0)"),
        (raw() + b"{}", "JSON is malformed: trailing characters (byte"),
        (raw({"note": "?"}).replace(b"?", b"\xff"), "event is not UTF-8"),
        (raw({"note": "?"}).replace(b"?", b"\\ud800"), "Input data was truncated"),
        (b"\x00" * 2_000_000, f"event has 2000000 bytes, at most {LARGEST_EVENT_BYTES} are taken"),
        (raw(extension="x" * LARGEST_EVENT_BYTES), "event has 6"),
        (raw(extension=0).replace(b": 0", b": " + b"[" * 50_000), "event is nested too deeply"),
    ],
)  # fmt: skip
def test_invalid_event_has_its_message_and_repeats_no_value(value: bytes, words: str) -> None:
    message = reason(value)
    assert message.startswith(words)
    assert CANARY not in message


data_fields = st.sampled_from(["data", "kind", "pieces", "amount", "weight_kg", "gift", "category", "note", CANARY])
envelope_fields = st.sampled_from(["specversion", "id", "source", "type", "subject", "time", "data", "extension"])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(CANARY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just(CANARY), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(data_fields, anything), st.dictionaries(envelope_fields, anything))
def test_any_json_is_decoded_or_refused_without_repeating_it(data: dict[str, Any], envelope: dict[str, Any]) -> None:
    value = json.dumps(json.loads(raw(data)) | envelope).encode()
    message = ""
    try:
        event = purchases.decode(value)
    except InvalidEvent as refused:
        message = str(refused)
    else:
        assert 0 <= event.event_id_hash < 1 << 63
    assert CANARY not in message


@given(st.binary(max_size=300))
def test_bytes_that_are_no_event_are_refused(value: bytes) -> None:
    with pytest.raises(InvalidEvent):
        purchases.decode(value)


whole = st.from_regex(r"-?(0|[1-9][0-9]{0,40})", fullmatch=True)
numbers = st.builds(
    "{}{}{}".format,
    whole,
    st.just("") | st.from_regex(r"\.[0-9]{1,40}", fullmatch=True),
    st.just("") | st.from_regex(r"[eE][+-]?[0-9]{1,20}", fullmatch=True),
)


def decode_or_refuse(value: bytes) -> None:
    """Decode an event, or raise InvalidEvent: any other exception would end a worker."""
    with contextlib.suppress(InvalidEvent):
        event = purchases.decode(value)
        assert 0 <= event.time_ms < 1000 << 32
        assert all(abs(v) <= LARGEST for v in event.values if isinstance(v, int | float))


@given(numbers, st.sampled_from(["pieces", "amount", "weight_kg", "gift", "category"]), st.booleans())
@example("1E+1000000", "amount", False)
@example("0E+99999999999999999999", "amount", True)
@example("1E-99999999999999999999", "amount", True)
def test_any_number_is_decoded_or_refused(text: str, field: str, quoted: bool) -> None:
    decode_or_refuse(number(f'"{text}"' if quoted else text, field))


@given(st.text("0123456789eE+-.NaInfsity_ ", max_size=30))
def test_any_decimal_text_is_decoded_or_refused(text: str) -> None:
    decode_or_refuse(raw({"amount": text}))


@given(st.data(), st.binary(max_size=12))
def test_an_overwritten_event_is_decoded_or_refused(data: st.DataObject, put: bytes) -> None:
    value = raw({"pieces": 3, "amount": 12.5, "weight_kg": 0.5, "gift": True, "note": "x"})
    start = data.draw(st.integers(0, len(value)))
    decode_or_refuse(value[:start] + put + value[start + data.draw(st.integers(0, 12)) :])


amounts = st.decimals(-(LARGEST // 10_000), LARGEST // 10_000, places=4)
short_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)
event_ids = short_texts.map(lambda text: unicodedata.normalize("NFC", text)).filter(lambda text: not lookalike(text))
purchase_data = st.builds(
    Purchase,
    kind=st.sampled_from(["completed", "returned"]),
    pieces=st.none() | st.integers(-LARGEST, LARGEST),
    amount=st.none() | amounts,
    weight_kg=st.none() | st.floats(-LARGEST, LARGEST),
    gift=st.none() | st.booleans(),
    category=st.none() | short_texts,
    note=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=128),
)
zones = st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=30))])
times = st.datetimes(datetime(1970, 1, 3), datetime(2106, 2, 6), timezones=zones)  # noqa: DTZ001


@given(purchase_data, times, event_ids)
def test_encoded_event_is_decoded_unchanged(data: Purchase, time: datetime, event_id: str) -> None:
    event = purchases.decode(purchases.encode(id=event_id, source="till/1", subject=SUBJECT, time=time, data=data))
    assert event.subject == SUBJECT
    assert event.time_ms == (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert event.values == purchases.values(data)
    scaled = event.values[purchases.positions["amount"]]
    assert (None if scaled is None else Decimal(scaled) / 10_000) == data.amount


def test_negative_zero_is_decoded_as_zero() -> None:
    assert str(purchases.decode(number("-0.0", "weight_kg")).values[purchases.positions["weight_kg"]]) == "0.0"


def test_nine_million_largest_numbers_sum_within_64_bits() -> None:
    assert 9_200_000 * LARGEST < 1 << 63 < 9_300_000 * LARGEST


def test_event_id_hash_is_of_source_and_id() -> None:
    hashes = [
        purchases.decode(raw(id=i, source=s)).event_id_hash for i, s in [("1", "a"), ("1", "b"), ("2", "a"), ("1", "a")]
    ]
    assert len(set(hashes)) == 3
    assert hashes[0] == hashes[3]


texts = st.text("a1|\0", min_size=1, max_size=4)


@given(st.tuples(texts, texts), st.tuples(texts, texts))
@example(("1", "shop|x"), ("x|1", "shop"))
@example(("1", "shop\0x"), ("x\01", "shop"))
def test_different_events_have_different_id_hashes(one: tuple[str, str], other: tuple[str, str]) -> None:
    hashes = {purchases.decode(raw(id=id_, source=source)).event_id_hash for id_, source in (one, other)}
    assert len(hashes) == len({one, other})


def test_extension_attributes_are_accepted() -> None:
    assert purchases.decode(raw({"pieces": 2}, traceparent="00-1", ext={"a": [1]})).values[1] == 2


def test_absent_fields_decode_to_none() -> None:
    assert purchases.decode(raw()).values == ("completed", *[None] * 7)


def test_decimal_is_decoded_to_its_scaled_integer() -> None:
    assert purchases.decode(raw({"amount": 12.75})).values[2] == 127_500
