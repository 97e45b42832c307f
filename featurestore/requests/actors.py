"""Actor of an event: who did it, and in which role."""

from typing import NamedTuple

from featurestore.requests.models import RequestEvent

Role = RequestEvent.Role


class Actor(NamedTuple):
    """Who acts: a user of the administration, an API client, the customer, or this program."""

    role: str
    name: str = ""


SYSTEM = Actor(Role.SYSTEM)
CUSTOMER = Actor(Role.CUSTOMER)


def staff(name: str) -> Actor:
    return Actor(Role.STAFF, name)


def client(name: str) -> Actor:
    return Actor(Role.CLIENT, name)
