"""The key store: wrapped keys of subjects, in a file or a database of their own.

It has a short backup life, of its own: who restores an old backup of the database, with all keys that exist today, can
read nothing of those who were erased since.
"""

from functools import cache

from featurestore.config import settings
from featurestore.subjectkeys.key_store.postgres import PostgresKeyStore
from featurestore.subjectkeys.key_store.protocol import KeyStore, WrappedKey
from featurestore.subjectkeys.key_store.sqlite import SqliteKeyStore

__all__ = ["KeyStore", "WrappedKey", "key_store"]

SQLITE = "sqlite:///"


def key_store() -> KeyStore:
    """The key store of the settings."""
    return _opened(settings().key_store_url)


@cache
def _opened(url: str) -> KeyStore:
    return SqliteKeyStore(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else PostgresKeyStore(url)
