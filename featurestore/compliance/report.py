"""Protocol of a compliance report: its columns and what each means, and its rows, a page in memory at a time."""

from collections.abc import Callable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from django.db import models

PAGE = 2_000
"""Rows of a page, read with one query."""

Value = str | int | float | bool | datetime | None
Row = tuple[Value, ...]


class ColumnType(StrEnum):
    """Type of a column's values, any of which may be null."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"


class Column(NamedTuple):
    """Column of a report, with the meaning of its values in a sentence."""

    name: str
    type: ColumnType
    meaning: str


class Period(NamedTuple):
    """Time that a report is about: from ``since``, or from the beginning, until before ``until``."""

    since: datetime | None
    until: datetime

    def of(self, field: str) -> models.Q:
        """The condition that a time field lies in the period."""
        condition = models.Q(**{f"{field}__lt": self.until})
        return condition & models.Q(**{f"{field}__gte": self.since}) if self.since else condition


def _no_notes(period: Period) -> list[str]:
    return []


class Report(NamedTuple):
    """Compliance report. ``rows`` raises UnsoundPeriod, before the first row.

    ``notes``: what a reader must know of the rows of this period, such as records that are missing.
    """

    name: str
    title: str
    personal_data: str
    columns: tuple[Column, ...]
    rows: Callable[[Period], Iterator[Row]]
    notes: Callable[[Period], list[str]] = _no_notes


def joined(names: Any) -> str:
    """Several names as one text, in order."""
    return ", ".join(sorted(names))


def keyset_pages(found: "models.QuerySet[Any]", key: str = "pk") -> Iterator[Any]:
    """Rows of models in the order of a unique key, a page in memory at a time."""
    after: Any = None
    while True:
        page = list((found if after is None else found.filter(**{f"{key}__gt": after})).order_by(key)[:PAGE])
        yield from page
        if len(page) < PAGE:
            return
        after = getattr(page[-1], key)
