"""The text of an API key: ``rap_ID_SECRET``. Pure.

The id (12 hex digits) is no secret: it finds the key's row and stands in logs. The secret has 192 random bits, so that
a plain SHA-256 keeps it: there is nothing to guess, hence nothing for a slow hash to slow down.
"""

import secrets
from hashlib import sha256
from typing import NamedTuple

PREFIX = "rap_"
ID_LENGTH = 12
SECRET_BYTES = 24


class NewKey(NamedTuple):
    """A key at its birth: the only time that its text is known to us."""

    key_id: str
    text: str


def new_key() -> NewKey:
    """A key that nobody has."""
    key_id = secrets.token_hex(ID_LENGTH // 2)
    return NewKey(key_id, f"{PREFIX}{key_id}_{secrets.token_hex(SECRET_BYTES)}")


def id_of(text: str) -> str:
    """The part of a key's text where its id stands, whatever the text is."""
    return text[len(PREFIX) : len(PREFIX) + ID_LENGTH]


def digest_of(text: str) -> str:
    """What is kept of a key: SHA-256 of its text, in hex.

    >>> digest_of("rap_00_11") == digest_of("rap_00_12")
    False
    """
    return sha256(text.encode(errors="replace")).hexdigest()
