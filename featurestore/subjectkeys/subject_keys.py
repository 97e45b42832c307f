"""Texts of a subject, encrypted by the subject's own key.

No process keeps a key: what an erasure deletes is gone for everybody at once. The subject "" stands for the
installation itself: its key, which is never erased, is for texts that must outlive the subject whom they answer.
"""

import secrets

from featurestore.subjectkeys.envelope import KEY_SIZE, decrypt, encrypt
from featurestore.subjectkeys.errors import Unreadable
from featurestore.subjectkeys.key_store import WrappedKey, key_store
from featurestore.subjectkeys.wrapping_keys import wrapping_keys


def encrypt_text(subject: str, text: str, column: str) -> str:
    """A text for a column, as ``table.column``; an empty one stays empty. The subject gets a key, if it has none.

    Raises KeyStoreUnavailable, WrappingKeyUnusable.
    """
    return encrypt(_key(subject), text, _place(subject, column)) if text else ""


def decrypt_text(subject: str, encrypted: str, column: str) -> str:
    """The text. Raises Unreadable, KeyStoreUnavailable, WrappingKeyUnusable."""
    if not encrypted:
        return ""
    if (kept := key_store().get(subject)) is None:
        raise Unreadable("The key of this text is not there: an erasure deleted it, or the key store lost it.")
    key = wrapping_keys().unwrap(kept.wrapped, subject, kept.wrapping_key)
    return decrypt(key, encrypted, _place(subject, column))


def _key(subject: str) -> bytes:
    store, wrapping = key_store(), wrapping_keys()
    kept = store.get(subject)
    if kept is None:
        made = WrappedKey(subject, wrapping.first, wrapping.wrap(secrets.token_bytes(KEY_SIZE), subject))
        kept = store.add(made)
    return wrapping.unwrap(kept.wrapped, subject, kept.wrapping_key)


def _place(subject: str, column: str) -> str:
    return f"{column}\0{subject}"
