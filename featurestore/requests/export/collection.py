"""Collection: every data location is asked for what it holds about the person, a page at a time, into the spool.

1. A page comes from the location, after the cursor that the row of the export has.
2. Its lines are written to the spool, and are on the disk.
3. One transaction adds the parts, the facts of their categories and the next cursor, if the row still has the number
   of parts that this process saw: so a process that lost its lease changes nothing.

A process that is killed leaves bytes behind the last part, which the next one cuts off; the page is read again. A
location that does not answer is waited for, which the row says.
"""

import time
from collections.abc import Callable
from datetime import datetime

from django.db import transaction

from featurestore.customers.selectors import person_of
from featurestore.locations import Item, Location, LocationUnavailable, Page
from featurestore.requests.actors import SYSTEM
from featurestore.requests.export.collected import MAX_CATEGORIES, OTHER, add_facts, line_of, name_of, parts_of
from featurestore.requests.export.models import DataExport, ExportCategory, SpoolPart
from featurestore.requests.export.services.changes import export_change
from featurestore.requests.export.spool import Spool
from featurestore.requests.export.states import ExportAction, ExportState
from featurestore.requests.export.waiting import wait
from featurestore.row_locations import data_locations
from featurestore.topic_locations import kept_scan

PAGE = 500
SLICE_S = 20.0


def collect(
    export: DataExport,
    renew: Callable[[], bool],
    now: datetime | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> bool:
    """Collect for SLICE_S at most; whether there may be more to do at once. ``renew``: whether this process still
    may. Raises FolderFull, SpoolDamaged.
    """
    with kept_scan():
        return _collect(export, renew, now, monotonic)


def _collect(
    export: DataExport, renew: Callable[[], bool], now: datetime | None, monotonic: Callable[[], float]
) -> bool:
    spool, person = Spool(export.name, export.encrypted_key), person_of(export.request.customer_id)
    locations, end = data_locations().in_order(), monotonic() + SLICE_S
    while monotonic() < end:
        if (asked := _next(export, locations)) is None:
            with export_change(export.pk, ExportAction.COLLECTED, SYSTEM, now=now, items=export.items) as changed:
                changed.cursor, changed.location = None, ""
            return False
        location, cursor = asked
        try:
            page = location.export(person, cursor, PAGE)
        except LocationUnavailable as error:
            wait(export, location.title, str(error), now)
            return False
        except Exception as error:
            wait(export, location.title, f"It failed ({type(error).__name__}): see the log of the Celery worker.", now)
            raise
        if not renew() or not _store(export, spool, location, page, len(locations)):
            return False
        export.refresh_from_db()
    return True


def _next(export: DataExport, locations: list[Location]) -> tuple[Location, str | None] | None:
    """The data location that is asked next, with the cursor; None when all are done.

    Its name is with the cursor, since the order of locations may change with a release.
    """
    left = sorted((one for one in locations if one.name not in export.done), key=_name)
    begun = next((one for one in left if one.name == export.location), None)
    if begun is not None:
        return begun, export.cursor
    return (left[0], None) if left else None


def _name(location: Location) -> str:
    return location.name


def _store(export: DataExport, spool: Spool, location: Location, page: Page, locations: int) -> bool:
    """Write a page and record it; False if another process went on meanwhile."""
    by_category: dict[str, list[Item]] = {}
    known = set(export.categories.values_list("name", flat=True))
    for item in page.items:
        name = name_of(item.category)
        if name not in known and len(known) >= MAX_CATEGORIES:
            name = OTHER
        known.add(name)
        by_category.setdefault(name, []).append(item)
    parts = [(name, *part) for name, items in by_category.items() for part in parts_of(map(line_of, items))]
    stored = spool.append([lines for *_, lines in parts], export.parts, export.spool_bytes) if parts else []
    with transaction.atomic():
        done = export.done if page.cursor is not None else [*export.done, location.name]
        seen = {"parts": export.parts, "done": export.done, "cursor": export.cursor}
        mine = DataExport.objects.filter(pk=export.pk, state=ExportState.COLLECTING, **seen)
        if not mine.update(
            parts=export.parts + len(parts),
            items=export.items + len(page.items),
            spool_bytes=export.spool_bytes + sum(length for _, length in stored),
            location="" if page.cursor is None else location.name,
            cursor=page.cursor,
            done=done,
            locations=locations,
            waiting_for="",
            waiting_since=None,
            problem="",
            attempts=0,
        ):
            return False
        rows = {name: ExportCategory.objects.get_or_create(export=export, name=name)[0] for name in by_category}
        numbered = enumerate(zip(parts, stored, strict=True), start=export.parts)
        firsts = {name: row.items for name, row in rows.items()}
        found = []
        for number, ((name, count, _), (offset, length)) in numbered:
            found.append(
                SpoolPart(
                    export=export, category=rows[name], number=number, first=firsts[name], items=count, offset=offset,
                    length=length,
                )
            )  # fmt: skip
            firsts[name] += count
        SpoolPart.objects.bulk_create(found)
        for name, items in by_category.items():
            for item in items:
                add_facts(rows[name], item, location.name)
            rows[name].save()
    return True
