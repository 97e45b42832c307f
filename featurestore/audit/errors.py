"""What can be wrong with a privacy operation."""


class PrivacyError(Exception):
    """Nothing was changed."""


class NoReason(PrivacyError):
    """Nobody said why, or who."""


class NotOpen(PrivacyError):
    """The finding was closed meanwhile."""
