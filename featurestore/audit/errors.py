"""Errors of audits and findings."""


class AuditError(Exception):
    """Base class: the request is refused and nothing was changed."""


class MissingReason(AuditError):
    """A dismissal without a reason or an actor."""


class FindingNotOpen(AuditError):
    """The finding was repaired or dismissed meanwhile."""
