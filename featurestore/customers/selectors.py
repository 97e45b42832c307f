"""Readers of customers. They query by subject, since a customer id may hold characters that no database stores."""

from collections.abc import Iterable

from featurestore.config import settings
from featurestore.customers.models import Customer
from featurestore.identity import check_identifier, hash_identifier, subject_of


def subject_of_customer(customer_id: str) -> str:
    """The subject of a customer id under this installation's secret. Raises IdentifierError."""
    return subject_of(customer_id, settings().subject_secret.encode())


def stored_subject(customer_id: str) -> str:
    """The subject under which a customer id is stored, if it is: also of one that was accepted before it had to be in
    normal form, without white space at its ends.
    """
    return hash_identifier(customer_id, settings().subject_secret.encode())


def find_customers(customer_ids: Iterable[str]) -> dict[str, Customer]:
    """The customers with these ids, without the unknown and the erased ones. A customer who is registered under an id
    that is refused today is found: a withdrawal must be possible. Raises IdentifierError for such an id of nobody.
    """
    wanted = set(customer_ids)
    subjects = [stored_subject(customer_id) for customer_id in wanted]
    found = {one.customer_id: one for one in Customer.objects.filter(subject__in=subjects, erased_at=None)}
    for customer_id in wanted - found.keys():
        check_identifier(customer_id)
    return found
