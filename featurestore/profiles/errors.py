"""Errors of customers' registration. A message names no customer."""


class RegistrationError(Exception):
    """Base class: nothing was registered. ``code`` is stable: problem types use it."""

    code = "registration"


class ErasedCustomer(RegistrationError):
    """The identifier was erased, and the registration does not say that the customer came back."""

    code = "erased"


class KeptByHold(RegistrationError):
    """A legal hold keeps rows of the erased customer under the same identifier."""

    code = "kept_by_hold"


class UnknownClient(Exception):
    """A name that no API client has."""
