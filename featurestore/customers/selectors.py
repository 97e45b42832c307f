"""The readers of customers. They look for subjects, so that no database meets an id that it can't hold."""

from collections.abc import Iterable

from featurestore.config import settings
from featurestore.customers.models import Customer
from featurestore.identity import subject_of


def subject(customer_id: str) -> str:
    """The subject of a customer id under this installation's secret. Raises IdentifierError."""
    return subject_of(customer_id, settings().subject_secret.encode())


def find(customer_id: str) -> Customer | None:
    """The customer with an id, unless erased. Raises IdentifierError."""
    return find_many([customer_id]).get(customer_id)


def find_many(customer_ids: Iterable[str]) -> dict[str, Customer]:
    """The customers with these ids, those excepted that are unknown or erased. Raises IdentifierError."""
    subjects = [subject(customer_id) for customer_id in set(customer_ids)]
    return {found.customer_id: found for found in Customer.objects.filter(subject__in=subjects, erased_at=None)}
