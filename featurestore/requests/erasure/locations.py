"""Data location of legal holds."""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet

from featurestore.clock import database_now
from featurestore.customers.models import LegalHold
from featurestore.customers.selectors import active_holds
from featurestore.locations import Item, Person, registry
from featurestore.requests.erasure.holds import HOLDS
from featurestore.row_locations import RowLocation


class LegalHoldLocation(RowLocation):
    """Legal holds. One in force keeps itself; of any other an erasure empties the subject."""

    name, title, category = HOLDS, "Legal holds", "legal hold"
    model = LegalHold

    def rows(self, person: Person) -> QuerySet[LegalHold]:
        found = LegalHold.objects.filter(subject__in=person.subjects)
        return found if person.whole else found.none()

    def item(self, row: LegalHold) -> Item:
        return Item(self.category, "our own record", row.begins_at, {"reason": row.reason})

    def erase_rows(self, person: Person, keys: Sequence[Any]) -> int:
        in_force = active_holds(database_now()).values("pk")
        return LegalHold.objects.filter(pk__in=keys).exclude(pk__in=in_force).update(subject="")


registry.register(LegalHoldLocation())
