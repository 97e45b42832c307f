"""What can be wrong with a decision. Messages say what to do and hold no identifier of a customer."""


class ConsentError(Exception):
    """A decision that is refused; nothing was recorded. ``code`` is stable, for the API's problem types."""

    code = "consent"


class UnknownCustomer(ConsentError):
    code = "unknown_customer"


class UnknownPurpose(ConsentError):
    code = "unknown_purpose"


class InactivePurpose(ConsentError):
    code = "inactive_purpose"


class PurposeChanged(ConsentError):
    """Name and lawful basis of a purpose never change: its customers were told."""

    code = "purpose_changed"


class WrongNotice(ConsentError):
    """No notice, an unknown one, or one that does not explain the purpose."""

    code = "wrong_notice"


class WrongMethod(ConsentError):
    code = "wrong_method"


class WrongActor(ConsentError):
    code = "wrong_actor"


class WrongText(ConsentError):
    """A reason that is too long, or a text that no database can hold."""

    code = "wrong_text"


class WrongDate(ConsentError):
    """A date in the future, before an earlier withdrawal, out of all bounds, or an end before the beginning."""

    code = "wrong_date"


class WrongBasis(ConsentError):
    """The purpose's lawful basis does not know this decision: a contract can't be withdrawn from here."""

    code = "wrong_basis"


class ImmutableRecord(ConsentError):
    """Consent records and published notices are never changed or deleted."""

    code = "immutable"
