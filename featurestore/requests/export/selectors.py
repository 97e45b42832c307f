"""Readers of exports: those that wait for somebody; items of a category by page, for the review."""

from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from django.db.models import QuerySet

from featurestore.requests.export.models import DataExport, ExportCategory
from featurestore.requests.export.redactions import redactions_of
from featurestore.requests.export.spool import Spool
from featurestore.requests.export.states import WITH_SPOOL, ExportState

ITEMS_PER_PAGE = 25


class ReviewedItem(NamedTuple):
    """An item as it was collected. ``withheld``: fields that are redacted; ``redacted``: all of it is."""

    number: int
    at: datetime | None
    origin: str
    data: dict[str, Any]
    withheld: list[str]
    redacted: bool


def items_of(category: ExportCategory, first: int, number: int = ITEMS_PER_PAGE) -> list[ReviewedItem]:
    """Some items of a category from a number on; none once the spool has ended. Raises SpoolDamaged."""
    export: DataExport = category.export
    if export.state not in WITH_SPOOL or first < 0:
        return []
    spool, withheld = Spool(export.name, export.encrypted_key), redactions_of(category)
    start = category.spool_parts.filter(first__lte=first).order_by("-first").first()
    if start is None:
        return []
    found: list[ReviewedItem] = []
    for part in category.spool_parts.filter(first__gte=start.first).order_by("first")[: number + 1]:
        for count, line in enumerate(spool.read(part.number, part.offset, part.length), start=part.first):
            if len(found) == number:
                return found
            if count >= first:
                item = msgspec.json.decode(line)
                left = withheld.applied(count, item)
                names = [] if left is None else left.get("withheld", [])
                found.append(ReviewedItem(count, _time(item["at"]), item["origin"], item["data"], names, left is None))
    return found


def to_review() -> QuerySet[DataExport]:
    """Exports that were collected and wait for their review."""
    return DataExport.objects.filter(state=ExportState.IN_REVIEW)


def to_release(user_name: str) -> QuerySet[DataExport]:
    """Exports that another person than the user has proposed to release."""
    return DataExport.objects.filter(state=ExportState.TO_RELEASE).exclude(proposed_by=user_name)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
