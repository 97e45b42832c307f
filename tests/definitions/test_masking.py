"""Masking of events for staff, valid or not."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.catalog import registry
from featurestore.definitions import EventSource, Label, Money, Personal
from featurestore.definitions.masking import ABSENT, MASKED, MAX_TEXT_LENGTH, mask_event

SECRET = "ann@example.org"


class Visit(msgspec.Struct, rename="camel"):
    doctor: Personal[Label]
    fee: Personal[Money] | None = None
    follow_up: Personal[bool | None] = None
    ward_name: Label = "none"
    note: str = ""
    minutes: int = 0


visits = EventSource("visits", data=Visit, type="clinic.visit")
ENVELOPE = {"specversion": "1.0", "id": "e1", "source": "clinic", "type": "clinic.visit", "subject": "0" * 32}


def masked_fields(**data: object) -> dict[str, str]:
    raw = msgspec.json.encode({**ENVELOPE, "time": "2026-03-01T12:00:00Z", "data": data})
    return {field.name: field.text for field in mask_event(visits, raw)}


def test_field_of_any_type_can_be_declared_personal() -> None:
    personal = {name for name, field in visits.fields.items() if field.personal}
    assert personal == {"doctor", "fee", "follow_up"}
    assert visits.fields["fee"].places == 4


def test_personal_fields_are_masked_and_others_shown_by_name() -> None:
    found = masked_fields(doctor=SECRET, fee="12.50", followUp=True, wardName="blue", minutes=30)
    assert [found[f"data.{name}"] for name in ("doctor", "fee", "follow_up")] == [MASKED] * 3
    assert (found["data.ward_name"], found["data.minutes"], found["data.note"]) == ("blue", "30", ABSENT)
    assert found["time"] == "2026-03-01T12:00:00Z"


@pytest.mark.parametrize(
    "data",
    [
        {"wardName": [SECRET]}, {"wardName": {SECRET: 1}}, {"wardName": SECRET * 20}, {"minutes": SECRET},
        {SECRET: 1}, {"email": SECRET}, {"minutes": 10**40}, {"ward_name": SECRET},
    ],
)  # fmt: skip
def test_field_of_another_type_is_not_shown(data: dict[str, object]) -> None:
    found = masked_fields(**data)
    assert SECRET not in str(found)
    assert str(10**40) not in str(found)


@pytest.mark.parametrize("key", ["id", "source", "subject", "time", "specversion", "data"])
def test_envelope_field_of_another_type_is_not_shown(key: str) -> None:
    raw = msgspec.json.encode({**ENVELOPE, key: [SECRET]})
    found = {field.name: field.text for field in mask_event(visits, raw)}
    assert found[key] == "not shown: list is not what it takes"
    assert SECRET not in str(found)


def test_control_characters_are_escaped_and_long_texts_cut() -> None:
    found = masked_fields(note="\x1b[2J", wardName="\u009b31m")
    assert (found["data.note"], found["data.ward_name"]) == (r"'\x1b[2J'", r"'\x9b31m'")
    (long,) = (field.text for field in mask_event(visits, b'{"type": "%s"}' % (b"x" * 999)) if field.name == "type")
    assert long == "x" * MAX_TEXT_LENGTH + "…"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["data", "id", "fee", "note"]), inner),
    max_leaves=6,
)


@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_masked_without_error(raw: bytes) -> None:
    assert all(isinstance(field.text, str) for field in mask_event(visits, raw))


@pytest.mark.parametrize("source", registry.sources.values(), ids=lambda source: source.name)
def test_shipped_id_fields_are_declared_personal(source: EventSource) -> None:
    id_fields = {name for name in source.fields if name.endswith("_id")}
    assert id_fields <= {name for name, field in source.fields.items() if field.personal}
