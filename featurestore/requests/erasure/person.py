"""Person of an erasure, stored encrypted until it is closed: later checks have to know whom to look for."""

import msgspec

from featurestore.locations import Person
from featurestore.requests.contact_box import decrypt, encrypt, keyed_hash
from featurestore.requests.erasure.models import Erasure


def digest_of(subject: str) -> str:
    """The digest by which the erasures of a subject are found."""
    return keyed_hash("erasure", subject)


def encrypted(person: Person) -> str:
    return encrypt(msgspec.json.encode(person).decode())


def decrypted(erasure: Erasure) -> Person:
    """Raises Unreadable, if RAPPORT_CONTACT_KEY is another one."""
    return msgspec.json.decode(decrypt(erasure.encrypted_person), type=Person)
