"""What a key or token may do. Pure.

A token's scope, as OAuth has it, is a text of words: actions, and purposes as ``purpose:NAME``. Services are none:
they are what a client is bound to, as an API is to its address.
"""

from collections.abc import Iterable
from enum import StrEnum

PURPOSE = "purpose:"


class Scope(StrEnum):
    """One kind of action; services and purposes narrow it further."""

    FEATURES_READ = "features:read"
    CONSENT_WRITE = "consent:write"
    EVENTS_WRITE = "events:write"


ACTIONS: dict[str, str] = {
    Scope.FEATURES_READ: "read customers' features",
    Scope.CONSENT_WRITE: "record customers' decisions",
    Scope.EVENTS_WRITE: "send events of conversations",
}
"""Each scope in the words of whoever gives it: in the administration, and in the API's document."""


def words_of(scopes: Iterable[str], purposes: Iterable[str]) -> list[str]:
    """Actions and purposes as words of an OAuth scope.

    >>> words_of(["features:read"], ["service"])
    ['features:read', 'purpose:service']
    """
    return [*sorted(scopes), *(PURPOSE + name for name in sorted(purposes))]


def purposes_in(words: Iterable[str]) -> frozenset[str]:
    """The purposes among the words of an OAuth scope.

    >>> purposes_in(["features:read", "purpose:service"])
    frozenset({'service'})
    """
    return frozenset(word.removeprefix(PURPOSE) for word in words if word.startswith(PURPOSE))
