"""Person of an erasure, stored encrypted until it is closed: later checks have to know whom to look for."""

import msgspec

from featurestore.customers.models import Customer
from featurestore.customers.selectors import stored_subject
from featurestore.locations import Person
from featurestore.requests.contact_box import decrypt, encrypt
from featurestore.requests.erasure.models import Erasure


def person_named(customer_id: str, purposes: list[str], sources: list[str]) -> Person:
    """The person of an identifier, registered or not: events of somebody unregistered may exist too."""
    subject = stored_subject(customer_id)
    keys = Customer.objects.filter(subject=subject).values_list("pk", flat=True)
    return Person(
        customers=tuple(keys),
        identifiers=(customer_id,),
        subjects=(subject,),
        purposes=frozenset(purposes) if purposes else None,
        sources=frozenset(sources) if sources else None,
    )


def encrypted(person: Person) -> str:
    return encrypt(msgspec.json.encode(person).decode())


def person_of(erasure: Erasure) -> Person:
    """Raises Unreadable, if RAPPORT_CONTACT_KEY is another one."""
    return msgspec.json.decode(decrypt(erasure.encrypted_person), type=Person)
