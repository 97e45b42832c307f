"""Readers of customers. They query by subject, since a customer id may hold characters that no database stores."""

from collections.abc import Iterable

from featurestore.config import settings
from featurestore.customers.models import Customer
from featurestore.identity import subject_of


def subject_of_customer(customer_id: str) -> str:
    """The subject of a customer id under this installation's secret. Raises IdentifierError."""
    return subject_of(customer_id, settings().subject_secret.encode())


def find_customers(customer_ids: Iterable[str]) -> dict[str, Customer]:
    """The customers with these ids, without the unknown and the erased ones. Raises IdentifierError."""
    subjects = [subject_of_customer(customer_id) for customer_id in set(customer_ids)]
    return {found.customer_id: found for found in Customer.objects.filter(subject__in=subjects, erased_at=None)}
