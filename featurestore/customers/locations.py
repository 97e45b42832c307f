"""Data location of customers' rows."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Concat

from featurestore.customers.models import Customer
from featurestore.customers.selectors import free_pseudonym
from featurestore.locations import Item, Person, registry
from featurestore.row_locations import RowLocation

ERASED = "erased/"
PSEUDONYMISED = Q(erased_at__isnull=False, customer_id=Concat(Value(ERASED), "subject"))
"""A row without a name: its customer id is made of its subject, which is a pseudonym. No shop could have chosen it."""


class CustomerLocation(RowLocation):
    """Rows of customers. One that is marked as erased keeps its key, for the consent records that refer to it."""

    name, title, category = "customers", "Customers", "registration"
    model = Customer
    erased_after = ("permissions",)  # which marks the row

    def rows(self, person: Person) -> QuerySet[Customer]:
        if not person.whole:
            return Customer.objects.none()
        return Customer.objects.filter(pk__in=person.customers).exclude(PSEUDONYMISED)

    def item(self, row: Customer) -> Item:
        data = {
            "customer_id": row.customer_id,
            "region": row.region,
            "brand": row.brand,
            "customer_since": row.since.isoformat(),
        }
        return Item(self.category, "the shop", row.created_at, data)

    def erase_rows(self, person: Person, keys: Sequence[Any]) -> int:
        erased = Customer.objects.filter(pk__in=keys).exclude(erased_at=None)
        for row in erased:
            pseudonym = free_pseudonym(row.subject)
            Customer.objects.filter(pk=row.pk).update(
                customer_id=f"{ERASED}{pseudonym}",
                subject=pseudonym,
                region="",
                brand="",
                since=row.erased_at,
                created_at=row.erased_at,
            )
        return len(erased)


registry.register(CustomerLocation())
