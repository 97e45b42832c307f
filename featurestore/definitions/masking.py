"""Masking of an event for staff: the fields that its source defines, with those declared personal masked. Pure.

Events that could not be decoded are masked too, so each field is checked by itself. A value that its field's type does
not take may be anything, and is not shown.
"""

from typing import Any, NamedTuple

import msgspec

from featurestore.definitions.source import LARGEST_EVENT_BYTES, CloudEvent, EventSource

MASKED = "masked: personal"
ABSENT = "absent"
MAX_TEXT_LENGTH = 256
UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


class MaskedField(NamedTuple):
    """Field of an event, such as ``data.amount``. ``text`` is its value or, if ``hidden``, why it is not shown."""

    name: str
    text: str
    hidden: bool = False


def mask_event(source: EventSource, raw: bytes) -> list[MaskedField]:
    """The fields of a Kafka record's value. Empty if it is no JSON object, or larger than an event may be.

    >>> from featurestore.catalog.orders import orders
    >>> raw = b'{"type": "shop.order_line", "data": {"order_id": "O1", "quantity": "2", "email": ""}}'
    >>> [field for field in mask_event(orders, raw) if field.text != ABSENT]  # doctest: +NORMALIZE_WHITESPACE
    [MaskedField(name='type', text='shop.order_line', hidden=False),
     MaskedField(name='data.order_id', text='masked: personal', hidden=True),
     MaskedField(name='data.quantity', text='not shown: str is not what it takes', hidden=True),
     MaskedField(name='data', text='not shown: 1 field that the source does not define', hidden=True)]
    """
    event = _object(raw)
    if event is None:
        return []
    envelope = {field.name: field.type for field in msgspec.structs.fields(CloudEvent) if field.name != "data"}
    shown = [_shown(name, event, name, type_) for name, type_ in envelope.items()]
    data = event.get("data")
    if not isinstance(data, dict):
        return [*shown, MaskedField("data", ABSENT if data is None else _not_taken(data), True)]
    known = {field.name: field for field in msgspec.structs.fields(source.data)}
    for name, field in source.fields.items():
        key, type_ = known[name].encode_name, known[name].type
        shown.append(
            MaskedField(f"data.{name}", MASKED, True)
            if field.personal and key in data
            else _shown(f"data.{name}", data, key, type_, field.convert)
        )
    unknown = len(data.keys() - {known[name].encode_name for name in source.fields})
    if unknown:
        fields = f"{unknown} field{'s' * (unknown > 1)}"
        shown.append(MaskedField("data", f"not shown: {fields} that the source does not define", True))
    return shown


def _object(raw: bytes) -> dict[str, Any] | None:
    if len(raw) > LARGEST_EVENT_BYTES:
        return None
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except UNREADABLE:
        return None


def _shown(name: str, found: dict[str, Any], key: str, type_: Any, check: Any = None) -> MaskedField:
    if key not in found:
        return MaskedField(name, ABSENT, True)
    value = found[key]
    try:
        taken = msgspec.convert(value, type_)
        if check and taken is not None:
            check(taken)
    except ValueError:  # msgspec's own is one
        return MaskedField(name, _not_taken(value), True)
    text = _text(value)
    return MaskedField(name, text if len(text) <= MAX_TEXT_LENGTH else f"{text[:MAX_TEXT_LENGTH]}…")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    return value if value.isprintable() else repr(value)  # no control sequence reaches a terminal


def _not_taken(value: Any) -> str:
    return f"not shown: {type(value).__name__} is not what it takes"
