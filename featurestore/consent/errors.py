"""Errors of decisions, purposes and notices. A message states what to do and names no customer."""


class ConsentError(Exception):
    """Base class: the request is refused and nothing was recorded. ``code`` is stable: problem types use it."""

    code = "consent"


class UnknownCustomer(ConsentError):
    code = "unknown_customer"


class UnknownPurpose(ConsentError):
    code = "unknown_purpose"


class InactivePurpose(ConsentError):
    code = "inactive_purpose"


class PurposeChanged(ConsentError):
    """A purpose would change its lawful basis or return after its retirement; customers have seen both."""

    code = "purpose_changed"


class WrongNotice(ConsentError):
    """No notice, an unknown one, or one that does not explain the purpose."""

    code = "wrong_notice"


class WrongMethod(ConsentError):
    code = "wrong_method"


class WrongActor(ConsentError):
    code = "wrong_actor"


class WrongText(ConsentError):
    """A reason that is too long, or a text with a null character."""

    code = "wrong_text"


class WrongDate(ConsentError):
    """A date in the future, before an earlier withdrawal or outside the bounds, or an end before the start."""

    code = "wrong_date"


class IdempotencyKeyReused(ConsentError):
    """The idempotency key of an earlier request came with another body."""

    code = "idempotency_key_reused"


class WrongBasis(ConsentError):
    """The lawful basis of the purpose has no such decision: a contract can't be withdrawn here."""

    code = "wrong_basis"


class NotPaused(ConsentError):
    """A pause would be lifted where there is none."""

    code = "not_paused"


class ImmutableRecord(ConsentError):
    """Consent records and published notices are never changed or deleted."""

    code = "immutable"


class NoReceipt(Exception):
    """A record of which no consent receipt can be made, or settings that lack who is responsible."""
