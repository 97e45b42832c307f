"""Protocol of a key store."""

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol


class WrappedKey(NamedTuple):
    """Key of a subject, encrypted by a wrapping key, of which it has the id."""

    subject: str
    wrapping_key: str
    wrapped: bytes


class KeyStore(Protocol):
    """Wrapped keys by subject. Every method raises KeyStoreUnavailable."""

    def get(self, subject: str) -> WrappedKey | None: ...

    def add(self, key: WrappedKey) -> WrappedKey:
        """Keep a key, unless the subject has one; the key that it has. Of two processes at once one key stays."""

    def erase(self, subjects: Collection[str]) -> int:
        """Delete keys; their number."""

    def count(self, subjects: Collection[str]) -> int:
        """How many of these subjects have a key."""

    def page(self, after: str, limit: int) -> list[WrappedKey]:
        """Keys in the order of their subjects, after one of them."""

    def replace(self, old: WrappedKey, new: WrappedKey) -> bool:
        """Put a key in place of another, if it is still there."""

    def counts(self) -> Mapping[str, int]:
        """The number of keys by the id of their wrapping key."""
