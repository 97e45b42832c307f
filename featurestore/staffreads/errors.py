"""Errors of reads by staff. Their messages are shown to the staff member."""


class StaffReadError(Exception):
    """Read that is refused, or could not be made."""


class NotAllowed(StaffReadError):
    """Read by somebody who may not view values, without an emergency access in force."""


class NoReason(StaffReadError):
    """Emergency access without a reason that says anything."""


class TooManyEmergencies(StaffReadError):
    """Emergency access of somebody who had too many in a day."""


class UnknownQuestion(StaffReadError):
    """Question for a service that is not defined, or for a purpose that it does not serve."""


class NoAnswer(StaffReadError):
    """Read that the store did not answer in time."""


class UnknownCustomer(StaffReadError):
    """Read of a customer who is not registered."""
