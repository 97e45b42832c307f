"""Data location of emergency accesses. Names of staff and reasons are not exported."""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet

from featurestore.locations import Item, Person, registry
from featurestore.row_locations import RowLocation
from featurestore.staffreads.models import EmergencyAccess
from featurestore.staffreads.services import pseudonymise


class EmergencyAccessLocation(RowLocation):
    """Emergency accesses: the proof of who might look. They stay with a pseudonym until retention deletes them."""

    name, title, category = "emergency_accesses", "Emergency accesses", "access to your data in an emergency"
    model = EmergencyAccess
    erased_after = ("permissions",)

    def rows(self, person: Person) -> QuerySet[EmergencyAccess]:
        found = EmergencyAccess.objects.filter(subject__in=person.subjects)
        return found if person.whole else found.none()

    def item(self, row: EmergencyAccess) -> Item:
        return Item(self.category, "staff", row.began_at, {"until": row.ends_at.isoformat()})

    def erase_rows(self, person: Person, keys: Sequence[Any]) -> int:
        return pseudonymise(list(keys))


registry.register(EmergencyAccessLocation())
