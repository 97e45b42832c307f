"""What staff may see of an event: the fields that its definition knows, those declared personal masked. Pure.

For events that could not be decoded too, so each field is judged alone: where it holds anything but what its type
takes, nobody knows what that is, and it is not shown.
"""

from typing import Any, NamedTuple

import msgspec

from featurestore.definitions.source import LARGEST_EVENT_BYTES, CloudEvent, EventSource

MASKED = "masked: personal"
ABSENT = "absent"
LONGEST_SHOWN = 256
UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


class Shown(NamedTuple):
    """One field, such as ``data.amount``. ``text`` is its value or, if ``hidden``, why there is none to see."""

    name: str
    text: str
    hidden: bool = False


def masked(source: EventSource, raw: bytes) -> list[Shown]:
    """What may be seen of a record's value. Empty for what is no JSON object, or is larger than an event may be.

    >>> from featurestore.catalog.orders import orders
    >>> shown = masked(orders, b'{"type": "shop.order_line", "data": {"order_id": "O1", "quantity": "2", "email": ""}}')
    >>> [field for field in shown if field.text != ABSENT]  # doctest: +NORMALIZE_WHITESPACE
    [Shown(name='type', text='shop.order_line', hidden=False),
     Shown(name='data.order_id', text='masked: personal', hidden=True),
     Shown(name='data.quantity', text='not shown: str is not what it takes', hidden=True),
     Shown(name='data', text='not shown: 1 field that the source does not know', hidden=True)]
    """
    event = _object(raw)
    if event is None:
        return []
    envelope = {field.name: field.type for field in msgspec.structs.fields(CloudEvent) if field.name != "data"}
    shown = [_shown(name, event, name, type_) for name, type_ in envelope.items()]
    data = event.get("data")
    if not isinstance(data, dict):
        return [*shown, Shown("data", ABSENT if data is None else _not_taken(data), True)]
    known = {field.name: field for field in msgspec.structs.fields(source.data)}
    for name, field in source.fields.items():
        key, type_ = known[name].encode_name, known[name].type
        shown.append(
            Shown(f"data.{name}", MASKED, True)
            if field.personal and key in data
            else _shown(f"data.{name}", data, key, type_, field.convert)
        )
    strange = len(data.keys() - {known[name].encode_name for name in source.fields})
    if strange:
        fields = f"{strange} field{'s' * (strange > 1)}"
        shown.append(Shown("data", f"not shown: {fields} that the source does not know", True))
    return shown


def _object(raw: bytes) -> dict[str, Any] | None:
    if len(raw) > LARGEST_EVENT_BYTES:
        return None
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except UNREADABLE:
        return None


def _shown(name: str, found: dict[str, Any], key: str, type_: Any, check: Any = None) -> Shown:
    if key not in found:
        return Shown(name, ABSENT, True)
    value = found[key]
    try:
        taken = msgspec.convert(value, type_)
        if check and taken is not None:
            check(taken)
    except ValueError:  # msgspec's own is one
        return Shown(name, _not_taken(value), True)
    text = _text(value)
    return Shown(name, text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    return value if value.isprintable() else repr(value)  # no terminal obeys what it is shown


def _not_taken(value: Any) -> str:
    return f"not shown: {type(value).__name__} is not what it takes"
