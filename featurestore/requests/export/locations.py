"""Data location of exports: their rows, and the encrypted files in the export folder."""

from datetime import timedelta

from django.db.models import QuerySet

from featurestore.config import settings
from featurestore.locations import AT_ONCE, ErasePage, Item, Kind, Page, Person, Proof, Storage, registry
from featurestore.requests.export import folder
from featurestore.requests.export.models import DataExport, ExportCategory, Redaction
from featurestore.row_locations import reached_database, table_of


class ExportLocation:
    """Exports of a person. What is in a package is exported by the location that it was collected from.

    An erasure deletes files, keys and rows at once. It must come before that of the requests, by which it finds them.
    """

    name, title, category = "exports", "Exports", "exports"
    personal_data = (
        "Everything that was collected for a request, in files that are encrypted; who asked for it, and when; how "
        "many items of each category there were, and what was withheld."
    )
    erased_by = "Files and keys end with the download, after RAPPORT_EXPORT_LINK_DAYS, or by erasure; rows by erasure."
    derived_from: tuple[str, ...] = ("subject_requests",)
    erased_after: tuple[str, ...] = ()

    @property
    def stored_in(self) -> tuple[Storage, ...]:
        tables = (table_of(model) for model in (DataExport, ExportCategory, Redaction))
        return (*tables, Storage(Kind.FILE, f"{settings().export_dir}/*"))

    def gone_within(self) -> timedelta:
        return AT_ONCE

    def export(self, person: Person, after: str | None, limit: int) -> Page:
        with reached_database():
            found = list(self._rows(person, after)[:limit])
            items = [Item(self.category, "your requests", one.created_at, _told(one)) for one in found]
            return Page(items, _cursor(found, limit))

    def erase(self, person: Person, after: str | None, limit: int) -> ErasePage:
        with reached_database():
            found = list(self._rows(person, after)[:limit])
            for one in found:
                one.delete()  # first: without its key no file can be read, and ``expiry.py`` deletes what is left
                folder.delete(one.name)
            return ErasePage(len(found), 0, _cursor(found, limit))

    def pause(self, person: Person, actor: str, reason: str) -> int:
        return 0

    def prove(self, person: Person, after: str | None, limit: int) -> Proof:
        with reached_database():
            found = list(self._rows(person, after)[:limit])
            needed = set(DataExport.objects.values_list("name", flat=True)) if after is None else set()
            orphans = sum(name not in needed for name, _ in folder.files()) if after is None else 0
            return Proof(len(found), 1 + len(found), orphans, _cursor(found, limit))

    def _rows(self, person: Person, after: str | None) -> QuerySet[DataExport]:
        rows = DataExport.objects.filter(request__subject__in=person.subjects).order_by("pk")
        if not person.whole:
            return rows.none()
        return rows.filter(pk__gt=int(after)) if after else rows


def _told(one: DataExport) -> dict[str, str | int | None]:
    return {
        "request": one.request.reference,
        "state": one.get_state_display(),
        "items": one.items,
        "released_at": one.released_at.isoformat() if one.released_at else None,
        "downloaded_at": one.downloaded_at.isoformat() if one.downloaded_at else None,
    }


def _cursor(found: list[DataExport], limit: int) -> str | None:
    return str(found[-1].pk) if len(found) == limit else None


registry.register(ExportLocation())
