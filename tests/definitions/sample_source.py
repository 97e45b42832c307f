"""Event source with one field of each kind."""

import json
from typing import Any, Literal

import msgspec

from featurestore.definitions import EventSource, Id, Label, Money

SUBJECT = "0123456789abcdef" * 2


class Purchase(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: Literal["completed", "returned"] = "completed"
    pieces: int | None = None
    amount: Money | None = None
    weight_kg: float | None = None
    gift: bool | None = None
    category: Label | None = None
    note: str | None = None
    receipt: Id | None = None


purchases = EventSource("purchases", data=Purchase, type="test.purchase")


def raw(data: dict[str, Any] | None = None, **envelope: Any) -> bytes:
    """A record's value; parts of the envelope are replaced, and left out where None."""
    event = {
        "specversion": "1.0",
        "id": "e1",
        "source": "till/1",
        "type": "test.purchase",
        "subject": SUBJECT,
        "time": "2026-01-02T03:04:05.678Z",
        "data": data or {},
    } | envelope
    return json.dumps({name: part for name, part in event.items() if part is not None}).encode()
