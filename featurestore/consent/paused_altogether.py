"""Customers paused altogether: of whom every purpose is paused. A purpose that they get later begins paused, too."""

from collections.abc import Collection

from django.db.models import Q

from featurestore.consent.models import CurrentPermission
from featurestore.customers.models import Customer


def customers_paused_altogether(customers: Collection[Customer]) -> set[int]:
    """Keys of the customers of whom every purpose is paused, of the active ones and of those with a grant.

    A purpose that was retired before the pause, without a grant since, has a state that no pause changed.
    """
    counts = Q(purpose__active=True) | Q(allowed=True) | Q(paused=True)
    rows = CurrentPermission.objects.filter(counts, customer__in=customers).values_list("customer_id", "paused")
    paused = dict[int, bool]()
    for customer_id, one_paused in rows:
        paused[customer_id] = one_paused and paused.get(customer_id, True)
    return {customer_id for customer_id, every_one in paused.items() if every_one}
