"""Formats of a report's rows: CSV (RFC 4180), and JSON as an object a line. Pure.

A spreadsheet takes a text that begins with ``=``, ``+``, ``@`` or ``-`` for a formula, which can send the other cells
to a stranger. Such a text, and one that begins with ``'``, gets a ``'`` in front, which a spreadsheet does not show. A
text that is a negative number stays one. ``restored`` takes the ``'`` away, so that nothing is lost.
"""

import csv
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from io import StringIO

from featurestore.compliance.report import Column, Row, Value

MARK = "'"
FORMULA_BEGINS = frozenset("=+@-" + MARK)
NEGATIVE_NUMBER = re.compile(r"-[0-9]+(\.[0-9]+)?")
INVISIBLE = frozenset({"Cc", "Cf"})  # Unicode categories of what a spreadsheet may skip
CONTROL = ("\t", "\r", "\n")


def neutralised(text: str) -> str:
    """A text that no spreadsheet takes for a formula. Full-width signs count as what they are equivalent to.

    >>> neutralised("=1+1"), neutralised("-3.5"), neutralised("-3+1"), neutralised("ann")
    ("'=1+1", '-3.5', "'-3+1", 'ann')
    """
    if NEGATIVE_NUMBER.fullmatch(text):
        return text
    seen = (one for one in text if not (one.isspace() or unicodedata.category(one) in INVISIBLE))
    begin = unicodedata.normalize("NFKC", next(seen, ""))[:1]
    return MARK + text if begin in FORMULA_BEGINS or text.startswith(CONTROL) else text


def restored(text: str) -> str:
    """The text that ``neutralised`` was given.

    >>> restored(neutralised("'=1+1"))
    "'=1+1"
    """
    return text.removeprefix(MARK)


def told_time(at: datetime) -> str:
    """A time in UTC, to the microsecond it has: 2026-12-01T09:00:00Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def csv_lines(columns: Sequence[Column], rows: Iterable[Row]) -> Iterator[str]:
    """A header and a record for each row; null is an empty cell."""
    buffer = StringIO()
    writer = csv.writer(buffer)
    writer.writerow([column.name for column in columns])
    yield buffer.getvalue()
    for row in rows:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow([_cell(value) for value in row])
        yield buffer.getvalue()


def json_lines(columns: Sequence[Column], rows: Iterable[Row]) -> Iterator[str]:
    """An object for each row, in a line of its own; times are texts."""
    names = [column.name for column in columns]
    for row in rows:
        told = {
            name: told_time(one) if isinstance(one, datetime) else one for name, one in zip(names, row, strict=True)
        }
        yield json.dumps(told, ensure_ascii=False, allow_nan=False) + "\n"


def _cell(value: Value) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return told_time(value)
    return neutralised(value) if isinstance(value, str) else value


Lines = Callable[[Sequence[Column], Iterable[Row]], Iterator[str]]
FORMATS: dict[str, Lines] = {"csv": csv_lines, "jsonl": json_lines}
"""Formats by name, which is also the end of a file's name."""
