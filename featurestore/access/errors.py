"""Errors about clients, keys and secrets. Messages state what to do and never hold a secret."""


class AccessError(Exception):
    """A refused operation; nothing was written."""


class WrongName(AccessError):
    """A client's name that is taken or malformed."""


class WrongAllowance(AccessError):
    """Services, purposes or scopes to which no key or client can be bound."""


class WrongLifetime(AccessError):
    """An expiry of a key or secret in the past, or too far in the future."""


class KeysUnavailable(AccessError):
    """Credentials could not be read: try again when the database answers."""


class KeyEnded(AccessError):
    """A rotation of a key or secret that is revoked or expired."""


class TooManySecrets(AccessError):
    """A further secret for a client that has two: the old one and its successor."""
