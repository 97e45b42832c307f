"""What can be wrong with a client or key. Messages say what to do and never hold a secret."""


class AccessError(Exception):
    """A change that is refused; nothing was written."""


class WrongName(AccessError):
    """A client's name that is taken or can't be one."""


class WrongAllowance(AccessError):
    """Services, purposes or scopes that a key can't be bound to."""


class WrongLifetime(AccessError):
    """A key that would be dead at birth, or live too long."""


class KeysUnavailable(AccessError):
    """Which keys there are can't be read: try again when the database answers."""


class KeyEnded(AccessError):
    """The key is revoked or expired: it can't be rotated."""
