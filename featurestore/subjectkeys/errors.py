"""Errors of encryption; each says what to do."""

from django.db import OperationalError


class SubjectKeyError(Exception):
    """Base class."""


class WrappingKeyUnusable(SubjectKeyError):
    """Wrapping keys of the setting that can't be read, or lack the one that wrapped a subject's key."""


class Unreadable(SubjectKeyError):
    """A text whose key was erased, or that was altered, or moved to another row or column."""


class KeyStoreUnavailable(OperationalError):
    """The key store does not answer, or takes no more data: to callers the same as a database that does not."""
