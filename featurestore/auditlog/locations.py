"""Data location of the audit log: contents of entries. Their commitments, which name nobody, stay."""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet

from featurestore.auditlog.entries import read_content
from featurestore.auditlog.models import EntryContent, WaitingEntry
from featurestore.auditlog.services import erase_contents, sequence_due
from featurestore.clock import moment
from featurestore.locations import ErasePage, Item, Person, Proof, registry
from featurestore.row_locations import RowLocation, reached_database, table_of

WITHHELD = ("actor", "subject", "version")
"""Members of a content that an export leaves out: names of staff, a pseudonym, a number of ours."""


class AuditLogLocation(RowLocation):
    """Entries about a person. A waiting entry gets its index before it is erased; it counts as a trace until then."""

    name, title, category = "audit_log", "Audit log", "entry of the audit log"
    model = EntryContent
    erased_after = ("permissions",)

    def __init__(self) -> None:
        super().__init__()
        self.stored_in = (table_of(EntryContent), table_of(WaitingEntry))

    def rows(self, person: Person) -> QuerySet[EntryContent]:
        found = EntryContent.objects.filter(subject__in=[one for one in person.subjects if one])
        return found if person.whole else found.none()

    def item(self, row: EntryContent) -> Item:
        told = read_content(row.content)
        data = {"entry": row.index} | {name: value for name, value in told.items() if name not in WITHHELD}
        return Item(self.category, "Rapport", moment(told["at_ms"]), data)

    def erase(self, person: Person, after: str | None, limit: int) -> ErasePage:
        if after is None:
            with reached_database():
                sequence_due()
        return super().erase(person, after, limit)

    def erase_rows(self, person: Person, keys: Sequence[Any]) -> int:
        return erase_contents(keys)

    def prove(self, person: Person, after: str | None, limit: int) -> Proof:
        found = super().prove(person, after, limit)
        if after is not None or not person.whole:
            return found
        with reached_database():
            waiting = WaitingEntry.objects.filter(subject__in=[one for one in person.subjects if one]).count()
        return found._replace(traces=found.traces + waiting, checked=found.checked + waiting)


registry.register(AuditLogLocation())
