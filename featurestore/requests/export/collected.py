"""Lines and facts of what was collected: an item as a line of JSON, and what a category's row says of all its items."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from featurestore.locations import Item
from featurestore.requests.export.models import ExportCategory

MAX_CATEGORIES, MAX_FIELDS, MAX_ORIGINS = 200, 300, 50
MAX_NAME = 100
OTHER = "Other"
"""Category, or origin, of what would be one too many."""
PART_BYTES = 1024 * 1024
TYPES: dict[type, str] = {
    bool: "boolean", int: "integer", float: "number", str: "string", list: "array", tuple: "array", dict: "object",
    type(None): "null",
}  # fmt: skip


def line_of(item: Item) -> bytes:
    """An item as a line: ``{"at": ..., "origin": ..., "data": {...}}``. JSON has no line break outside of a text.

    >>> line_of(Item("Orders", "shop", None, {"total": 5}))
    b'{"at":null,"origin":"shop","data":{"total":5}}'
    """
    return msgspec.json.encode({"at": _text(item.at), "origin": item.origin, "data": item.data})


def parts_of(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines in parts of some PART_BYTES: the number of lines and their bytes.

    >>> list(parts_of([b"1", b"2"]))
    [(2, b'1\\n2')]
    """
    part: list[bytes] = []
    size = 0
    for line in lines:
        part.append(line)
        size += len(line)
        if size >= PART_BYTES:
            yield len(part), b"\n".join(part)
            part, size = [], 0
    if part:
        yield len(part), b"\n".join(part)


def name_of(category: str) -> str:
    """The name of a category as it is stored."""
    return category[:MAX_NAME] or OTHER


def add_facts(row: ExportCategory, item: Item, location: str) -> None:
    """Add an item to what the row of its category says."""
    row.items += 1
    if item.at is not None:
        row.first_at = min(row.first_at or item.at, item.at)
        row.last_at = max(row.last_at or item.at, item.at)
    for field, value in item.data.items():
        type_ = type_of(value)
        if (known := row.fields.get(field)) is not None:
            if type_ not in known:
                row.fields[field] = sorted([*known, type_])
        elif len(row.fields) < MAX_FIELDS:
            row.fields[field] = [type_]
    origin = item.origin if item.origin in row.origins or len(row.origins) < MAX_ORIGINS else OTHER
    row.origins[origin] = row.origins.get(origin, 0) + 1
    if location not in row.locations:
        row.locations = sorted([*row.locations, location])


def type_of(value: Any) -> str:
    """The JSON type of a value; what JSON has not is written as a text."""
    return TYPES.get(type(value), "string")


def _text(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None
