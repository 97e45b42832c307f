"""Formats of a category's file: JSON Lines, CSV, and the JSON Schema of a line of the former. Pure."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from featurestore.requests.export.collected import MAX_FIELDS

SCHEMA = "https://json-schema.org/draft/2020-12/schema"
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters of a text that a spreadsheet would compute (OWASP, "CSV Injection"). It gets a ' before it."""
COMMON = ("at", "origin", "withheld")
CHUNK = 65_536


def file_names(categories: Iterable[str]) -> list[str]:
    """A file name for each category, no two alike.

    >>> file_names(["Consent records", "Orders", "orders!"])
    ['consent-records', 'orders', 'orders-3']
    """
    names: list[str] = []
    for number, category in enumerate(categories, start=1):
        plain = re.sub(r"[^a-z0-9]+", "-", category.lower()).strip("-")[:60] or "data"
        names.append(plain if plain not in names else f"{plain}-{number}")
    return names


def json_lines(lines: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Lines as chunks of some CHUNK bytes."""
    yield from chunks(msgspec.json.encode(line) + b"\n" for line in lines)


def csv_lines(lines: Iterable[dict[str, Any]], fields: Sequence[str]) -> Iterator[bytes]:
    """Lines as CSV (RFC 4180, UTF-8 with its mark, which spreadsheets need) under the common columns and the fields.

    A list or an object is written as JSON. A text that a spreadsheet would compute has a ' before it: the exact one is
    in the JSON Lines. Fields beyond the MAX_FIELDS that are known are there alone, too.
    """
    yield b"\xef\xbb\xbf"
    yield from chunks(map(csv_row, _rows(lines, fields)))


def _rows(lines: Iterable[dict[str, Any]], fields: Sequence[str]) -> Iterator[list[str]]:
    yield [*COMMON, *(f"data.{name}" for name in fields)]
    for line in lines:
        data = line["data"]
        withheld = " ".join(line.get("withheld", ()))
        yield [line["at"] or "", cell(line["origin"]), cell(withheld), *(cell(data.get(name)) for name in fields)]


def csv_row(values: Sequence[str]) -> bytes:
    row = io.StringIO()
    csv.writer(row, lineterminator="\r\n").writerow(values)
    return row.getvalue().encode(errors="replace")


def cell(value: Any) -> str:
    """A value as a cell.

    >>> cell(None), cell(True), cell([1]), cell("=1+1"), cell(-5)
    ('', 'true', '[1]', "'=1+1", '-5')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return msgspec.json.encode(value).decode()


def schema_of(category: str, fields: dict[str, list[str]], withheld: bool) -> dict[str, Any]:
    """JSON Schema of a line of a category's JSON Lines."""
    properties: dict[str, Any] = {
        "at": {"type": ["string", "null"], "description": "When, if it is known (ISO 8601, UTC)"},
        "origin": {"type": "string", "description": "Where it came from"},
        "data": {
            "type": "object",
            "properties": {name: {"type": types} for name, types in fields.items()},
            "additionalProperties": len(fields) >= MAX_FIELDS,
        },
    }
    if withheld:
        text = "Fields that are withheld, because they concern others"
        properties["withheld"] = {"type": "array", "items": {"type": "string"}, "description": text}
    return {
        "$schema": SCHEMA,
        "title": category,
        "type": "object",
        "properties": properties,
        "required": ["at", "origin", "data"],
        "additionalProperties": False,
    }


def chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces joined to chunks of some CHUNK bytes.

    >>> list(chunks([b"a", b"b"]))
    [b'ab']
    """
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        if len(waiting) >= CHUNK:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)
