"""What a key may do. Pure."""

from enum import StrEnum


class Scope(StrEnum):
    """One kind of action; services and purposes narrow it further."""

    FEATURES_READ = "features:read"
    CONSENT_WRITE = "consent:write"
