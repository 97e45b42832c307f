"""Errors of subject requests. A message states what to do and names no customer."""


class RequestError(Exception):
    """Base class: it is refused, and nothing was recorded. ``code`` is stable: problem types use it."""

    code = "request"


class UnknownRequest(RequestError):
    code = "unknown_request"


class UnknownRegime(RequestError):
    """No regime of this name, or none that had rules on the day of receipt."""

    code = "unknown_regime"


class WrongRequest(RequestError):
    """A request that is wrong whatever is recorded: its type, purposes, language or texts."""

    code = "wrong_request"


class RequestKeyReused(RequestError):
    """The idempotency key of an earlier request came with another body."""

    code = "idempotency_key_reused"


class NotPossible(RequestError):
    """The request's state does not allow the action."""

    code = "not_possible"


class NotExtendable(NotPossible):
    """An extension after the due date, or a second one, or one that the regime does not know."""

    code = "not_extendable"


class NoReason(RequestError):
    """An action without the reason, the legal ground or the text that it needs."""

    code = "no_reason"


class WrongCode(RequestError):
    """A code that is wrong, expired, used or tried too often: the same text for all."""

    code = "wrong_code"


class SecondPersonNeeded(RequestError):
    """A refusal that another person must approve."""

    code = "second_person_needed"


class Unreadable(RequestError):
    """A text that another RAPPORT_CONTACT_KEY encrypted."""

    code = "unreadable"


class ImmutableEvent(RequestError):
    """Events of a request's timeline are never changed."""

    code = "immutable"
