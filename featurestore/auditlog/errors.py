"""Errors of the audit log; each says what to do."""


class AuditLogError(Exception):
    """Base class."""


class NotInTransaction(AuditLogError):
    """An entry appended outside of the transaction of what it records."""


class KeyUnusable(AuditLogError):
    """Keys of the setting that can't be read, or of which none introduced the first one."""


class LogDamaged(AuditLogError):
    """A log that no longer contains what its last tree head signed. It is not signed again."""


class UnknownEntry(AuditLogError):
    """An index or a size that the log does not have."""
