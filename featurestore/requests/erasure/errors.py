"""Errors of erasures and legal holds. A message names no customer."""

from featurestore.requests.errors import NotPossible, WrongRequest


class NotErasable(NotPossible):
    """The request is none for an erasure, or its state does not allow one."""


class NoLocations(NotPossible):
    """No data location is registered: nothing could be erased, and nothing proven."""


class WrongHold(WrongRequest):
    """A legal hold without a reason, with an unknown location, or that has ended."""


class NoCertificate(Exception):
    """An erasure that is unknown, or not proven in every location yet."""
