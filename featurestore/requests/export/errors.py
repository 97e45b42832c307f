"""Errors of exports. A message states what to do and names no customer."""

from featurestore.requests.errors import NotPossible, RequestError, SecondPersonNeeded, WrongRequest


class ExportNotPossible(NotPossible):
    """The state of the request or of the export does not allow the action."""


class ReleaseNeedsAnother(SecondPersonNeeded):
    """A release that somebody else must decide."""


class WrongRedaction(WrongRequest):
    """A redaction of what the export does not hold, or one too many."""


class LinkRefused(RequestError):
    """A link that is wrong, expired, used up or withdrawn: the same text for all."""

    code = "link_refused"


class FolderFull(Exception):
    """The export folder takes no more bytes now: the export waits until it does."""


class SpoolDamaged(Exception):
    """Bytes of a spool that can't be decrypted: another process wrote them, or the disk lost them."""
