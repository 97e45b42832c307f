"""Registration of identifiers that were erased: refused, unless it says that the customer came back."""

from collections.abc import Mapping
from typing import Protocol

from featurestore.clock import milliseconds
from featurestore.customers.models import Customer, Suppression
from featurestore.customers.suppressions import find_suppressions
from featurestore.requests.erasure.selectors import subjects_being_erased


class Wanted(Protocol):
    """The parts of a registration that are looked at here."""

    @property
    def customer_id(self) -> str: ...

    @property
    def after_erasure(self) -> bool: ...


def admit_after_erasure(wanted: Mapping[str, Wanted]) -> tuple[dict[str, int], dict[str, Suppression]]:
    """Decide on registrations, by subject, in the caller's transaction: what was erased of those that are admitted, as
    the time in ms; and the suppressions of those that are refused.

    The suppression of an admitted one ends. None is admitted before the erasure is answered, or while a legal hold
    keeps the customer's row.
    """
    rows = dict(Customer.objects.filter(subject__in=wanted).values_list("subject", "erased_at"))
    found = find_suppressions([one.customer_id for subject, one in wanted.items() if rows.get(subject, True)])
    erasing = subjects_being_erased([subject for subject, one in wanted.items() if one.after_erasure])
    admitted: dict[str, int] = {}
    refused: dict[str, Suppression] = {}
    for subject, one in wanted.items():
        if not (suppressions := found.get(one.customer_id)):
            continue
        if one.after_erasure and subject not in rows and subject not in erasing:
            admitted[subject] = max(milliseconds(row.erased_at) for row in suppressions)
            Suppression.objects.filter(pk__in=[row.pk for row in suppressions]).delete()
        else:
            refused[subject] = suppressions[0]
    return admitted, refused
