"""What can be wrong with a client, key or secret. Messages say what to do and never hold a secret."""


class AccessError(Exception):
    """A change that is refused; nothing was written."""


class WrongName(AccessError):
    """A client's name that is taken or can't be one."""


class WrongAllowance(AccessError):
    """Services, purposes or scopes that a key or client can't be bound to."""


class WrongLifetime(AccessError):
    """A key or secret that would be dead at birth, or live too long."""


class KeysUnavailable(AccessError):
    """Which keys there are can't be read: try again when the database answers."""


class KeyEnded(AccessError):
    """The key or secret is revoked or expired: it can't be rotated."""


class TooManySecrets(AccessError):
    """As many secrets of a client work as may: the old one and its successor."""
