"""Scopes of keys and tokens. Pure.

An OAuth scope is a list of scope tokens (RFC 6749, section 3.3). Ours are actions, and purposes as ``purpose:NAME``.
Services are not in the scope: the client is bound to them.
"""

from collections.abc import Iterable
from enum import StrEnum

PURPOSE = "purpose:"


class Scope(StrEnum):
    """One kind of action; services and purposes narrow it further."""

    FEATURES_READ = "features:read"
    CONSENT_WRITE = "consent:write"
    CONSENT_READ = "consent:read"
    EVENTS_WRITE = "events:write"
    REQUESTS_WRITE = "requests:write"
    REQUESTS_ATTEST = "requests:attest"
    REQUESTS_READ = "requests:read"
    REGISTER_ERASED = "customers:register-erased"


SCOPE_DESCRIPTIONS: dict[str, str] = {
    Scope.FEATURES_READ: "read customers' features",
    Scope.CONSENT_WRITE: "record customers' decisions",
    Scope.CONSENT_READ: "see what customers allowed at a time, and who read what",
    Scope.EVENTS_WRITE: "send events of conversations",
    Scope.REQUESTS_WRITE: "record customers' requests for access, erasure and the like",
    Scope.REQUESTS_ATTEST: "state that a customer is verified, and put contacts on record",
    Scope.REQUESTS_READ: "see what became of customers' requests",
    Scope.REGISTER_ERASED: "register erased customers anew, if they came back by their own choice",
}
"""What each scope allows, for the administration and the OpenAPI document."""


def scope_tokens(scopes: Iterable[str], purposes: Iterable[str]) -> list[str]:
    """Actions and purposes as scope tokens.

    >>> scope_tokens(["features:read"], ["service"])
    ['features:read', 'purpose:service']
    """
    return [*sorted(scopes), *(PURPOSE + name for name in sorted(purposes))]


def purposes_in(tokens: Iterable[str]) -> frozenset[str]:
    """The purposes among scope tokens.

    >>> purposes_in(["features:read", "purpose:service"])
    frozenset({'service'})
    """
    return frozenset(token.removeprefix(PURPOSE) for token in tokens if token.startswith(PURPOSE))
