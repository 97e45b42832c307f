"""Readers of customers. They query by subject, since a customer id may hold characters that no database stores."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from itertools import count

from django.db.models import Q, QuerySet

from featurestore.config import settings
from featurestore.customers.models import Customer, LegalHold
from featurestore.identity import check_identifier, hash_identifier, pseudonym_of, subject_of
from featurestore.locations import Person


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


def person_of(
    customer_id: str, purposes: Collection[str] | None = None, sources: Collection[str] | None = None
) -> Person:
    """The person with a customer id, for calls of data locations: also one who was erased, or is not registered."""
    subject = stored_subject(customer_id)
    present = Customer.objects.filter(subject=subject).values_list("pk", flat=True)
    return Person(
        customers=(*present, *(row.pk for row in erased_rows(subject))),
        identifiers=(customer_id,),
        subjects=(subject,),
        purposes=None if purposes is None else frozenset(purposes),
        sources=None if sources is None else frozenset(sources),
    )


def pseudonym(subject: str, number: int = 0) -> str:
    """The pseudonym of a subject under this installation's secret."""
    return pseudonym_of(subject, settings().subject_secret.encode(), number)


def free_pseudonym(subject: str) -> str:
    """The first pseudonym of a subject that no row has: a customer may be registered and erased several times."""
    return pseudonym(subject, len(list(erased_rows(subject))))


def erased_rows(subject: str) -> Iterator[Customer]:
    """The pseudonymised rows of a subject, the earliest erased first."""
    for number in count():
        row = Customer.objects.filter(subject=pseudonym(subject, number)).first()
        if row is None:
            return
        yield row


def active_holds(at: datetime) -> QuerySet[LegalHold]:
    """The legal holds in force."""
    return LegalHold.objects.filter(Q(ends_at=None) | Q(ends_at__gt=at), released_at=None, begins_at__lte=at)


def held_subjects(location: str, at: datetime) -> set[str]:
    """The subjects whose rows in a data location no retention deletes: there are few holds, so that they are a set."""
    holds = active_holds(at).values_list("subject", "locations")
    return {subject for subject, locations in holds if not locations or location in locations}
