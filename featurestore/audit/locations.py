"""Data location of audits' findings."""

from django.db.models import QuerySet

from featurestore.audit.models import Finding
from featurestore.locations import Item, Person, registry
from featurestore.row_locations import RowLocation


class FindingLocation(RowLocation):
    """Findings about a subject. Names of staff who dismissed one are not exported."""

    name, title, category = "audit_findings", "Findings of consent audits", "check of your permission"
    model = Finding
    derived_from = ("permissions", "store")
    erased_after = ("permissions",)

    def rows(self, person: Person) -> QuerySet[Finding]:
        found = Finding.objects.filter(subject__in=person.subjects)
        if person.sources is not None:
            return found.none()
        return found if person.purposes is None else found.filter(purpose__in=person.purposes)

    def item(self, row: Finding) -> Item:
        data = {"kind": row.kind, "purpose": row.purpose, "state": row.state}
        return Item(self.category, "our own audit", row.found_at, data)


registry.register(FindingLocation())
