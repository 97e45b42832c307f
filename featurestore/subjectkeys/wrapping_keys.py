"""Wrapping keys: those that encrypt the keys of subjects, from the secrets that a key provider holds.

The setting RAPPORT_WRAPPING_KEY_PROVIDER names the provider: the environment, or a file.
"""

import hashlib
from functools import cache
from typing import NamedTuple

from featurestore.config import Settings, settings
from featurestore.key_providers import ListUnusable, listed_keys
from featurestore.subjectkeys.envelope import decrypt_bytes, encrypt_bytes
from featurestore.subjectkeys.errors import WrappingKeyUnusable


class WrappingKeys(NamedTuple):
    """Keys by id; the first one wraps."""

    keys: dict[str, bytes]

    @property
    def first(self) -> str:
        return next(iter(self.keys))

    def wrap(self, key: bytes, subject: str) -> bytes:
        """A subject's key, encrypted by the first wrapping key."""
        return encrypt_bytes(self.keys[self.first], key, _place(subject, self.first))

    def unwrap(self, wrapped: bytes, subject: str, key_id: str) -> bytes:
        """The key of a subject. Raises WrappingKeyUnusable, Unreadable."""
        if key_id not in self.keys:
            raise WrappingKeyUnusable(
                f"The wrapping keys lack {key_id}, which wrapped a subject's key. Put it back after the first one, "
                "until `manage.py subject_keys status` counts none that it wrapped."
            )
        return decrypt_bytes(self.keys[key_id], wrapped, _place(subject, key_id))


def wrapping_keys(conf: Settings | None = None) -> WrappingKeys:
    """Those of the provider. Raises WrappingKeyUnusable."""
    return WrappingKeys({key_id: _derived(secret) for key_id, secret in secrets_of(conf or settings())})


def secrets_of(conf: Settings) -> list[tuple[str, str]]:
    """Ids and secrets that the provider holds, in order. Raises WrappingKeyUnusable."""
    try:
        return listed_keys(conf.wrapping_key_provider, conf.wrapping_keys)
    except ListUnusable as error:
        raise WrappingKeyUnusable(f"The wrapping keys {error}") from None


@cache
def _derived(secret: str) -> bytes:
    return hashlib.blake2b(secret.encode(), digest_size=32, person=b"wrapping").digest()


def _place(subject: str, key_id: str) -> str:
    return f"subject key\0{subject}\0{key_id}"
