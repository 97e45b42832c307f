"""An empty optional label is null, wherever events are decoded or written; a required one is refused."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
import pytest

from featurestore.aggregations import LastOrNull
from featurestore.definitions import EventSource, FeatureView, InvalidEvent, Label, Personal
from featurestore.serving.trial import try_view

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
Code = Annotated[str, msgspec.Meta(min_length=1, pattern="^[a-z]*$")]


class Call(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename="camel"):
    """A telephone call."""

    line_number: Label
    topic_name: Label | None = None
    agent: Personal[Label] | None = None
    queue: Label | None  # null must be said
    note: str | None = None
    code: Code | None = None
    kind: Literal["in", "out"] | None = None


calls = EventSource("calls", data=Call, type="test.call")


def raw(**data: str | None) -> bytes:
    event = {"specversion": "1.0", "id": "1", "source": "test", "type": "test.call", "subject": "0" * 32}
    sent = {"lineNumber": "7", "queue": None} | data
    return msgspec.json.encode(event | {"time": "2026-03-01T12:00:00Z", "data": sent})


def values(value: bytes) -> dict[str, object]:
    return dict(zip(calls.fields, calls.decode(value).values, strict=True))


@pytest.mark.parametrize("field", ["topicName", "agent", "queue"])
def test_empty_optional_label_is_null(field: str) -> None:
    assert values(raw(**{field: ""})) == values(raw(**{field: None}))
    assert "sales" in values(raw(**{field: "sales"})).values()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"lineNumber": ""}, "Expected `str` of length >= 1 - at `$.data.lineNumber`"),
        ({"code": ""}, "Expected `str` of length >= 1 - at `$.data.code`"),
        ({"kind": ""}, "Value is none of 'in', 'out' - at `$.data.kind`"),
        ({"topicName": "x" * 129}, "Expected `str` of length <= 128 - at `$.data.topicName`"),
        ({"topic_name": "sales"}, "Object contains an unknown field"),
    ],
)
def test_other_empty_or_wrong_texts_are_refused(data: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        calls.decode(raw(**data))
    assert str(refused.value).startswith(words)


def test_empty_text_that_is_no_label_stays() -> None:
    assert values(raw(note=""))["note"] == ""


def test_written_event_holds_null_for_an_empty_label() -> None:
    data = Call(line_number="7", topic_name="", queue="")
    written = calls.encode(id="1", source="test", subject="0" * 32, time=NOON, data=data)
    assert b'"topicName":null' in written
    assert b'"queue":null' in written


def test_source_without_optional_labels_decodes_its_own_struct() -> None:
    class Plain(msgspec.Struct):
        topic: Label

    source = EventSource("plain", data=Plain, type="test.plain")
    assert (source.accepted, source.optional_labels) == (Plain, frozenset())


def test_empty_label_unsets_a_last_or_null() -> None:
    topic = LastOrNull("topic_name").over("1d", name="topic")
    view = FeatureView("calling", source=calls, purposes={"service"}, features=[topic])
    said = [(NOON.replace(hour=9), Call(line_number="7", topic_name="bill", queue=None))]
    assert try_view(view, said, at=NOON) == {"topic": "bill"}
    empty = (NOON.replace(hour=10), Call(line_number="7", topic_name="", queue=None))
    assert try_view(view, [*said, empty], at=NOON) == {"topic": None}
    late = (NOON.replace(hour=8), Call(line_number="7", queue=None))
    assert try_view(view, [*said, late], at=NOON) == {"topic": "bill"}, "it happened before"
