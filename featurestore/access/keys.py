"""The texts of credentials: an API key, a client's secret, an access token. Pure.

``rap_ID_SECRET`` is a key, ``ras_ID_SECRET`` a client's secret. The id (12 hex digits) is no secret: it stands in logs.
The secret has 192 random bits, so that a plain SHA-256 keeps it: there is nothing to guess, hence nothing for a slow
hash to slow down.

``rat_ID_EXPIRY..._SEAL`` is a token: the id of the secret that bought it, when it expires, 128 random bits, and a seal
(HMAC-SHA-256, 64 bits). The seal opens nothing, the digest of the whole does. It tells a text that we made from one
that we did not, so that only tokens which exist or existed are ever looked for in the database.
"""

import hmac
import secrets
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

ID_LENGTH = 12
SECRET_BYTES = 24
TOKEN_BYTES = 16
SEAL_LENGTH = 16
EXPIRES = slice(17, 25)
LONGEST = 128
"""Characters of a text that are looked at: more than any of ours has."""


class Prefix(StrEnum):
    """What a text is, for people and for scanners of leaked secrets."""

    KEY = "rap_"
    SECRET = "ras_"  # noqa: S105  (a prefix)
    TOKEN = "rat_"  # noqa: S105


class NewText(NamedTuple):
    """A key or secret at its birth: the only time that its text is known to us."""

    key_id: str
    text: str


def new_text(prefix: Prefix) -> NewText:
    """A key or secret that nobody has."""
    key_id = secrets.token_hex(ID_LENGTH // 2)
    return NewText(key_id, f"{readable(prefix, key_id)}{secrets.token_hex(SECRET_BYTES)}")


def new_token(secret_id: str, expires_s: int, seal_key: bytes) -> str:
    """A token that nobody has, bought with a secret, until a time in seconds since the epoch."""
    head = f"{readable(Prefix.TOKEN, secret_id)}{expires_s:08x}{secrets.token_hex(TOKEN_BYTES)}"
    return head + _seal(head, seal_key)


def readable(prefix: Prefix, key_id: str) -> str:
    """The beginning of a text, up to what is secret.

    >>> readable(Prefix.TOKEN, "0123456789ab")
    'rat_0123456789ab_'
    """
    return f"{prefix}{key_id}_"


def id_of(text: str) -> str:
    """The part of a text where its id stands, whatever the text is."""
    return text[len(Prefix.KEY) : len(Prefix.KEY) + ID_LENGTH]


def sealed(text: str, seal_key: bytes) -> bool:
    """Whether a text is a token of ours, living or not. As long for any text."""
    seal = _seal(text[:-SEAL_LENGTH], seal_key)
    return hmac.compare_digest(seal.encode(), text[-SEAL_LENGTH:].encode(errors="replace"))


def expiry_ms(token: str) -> int:
    """When a sealed token expires, in milliseconds since the epoch."""
    return int(token[EXPIRES], 16) * 1000


def digest_of(text: str) -> str:
    """What is kept of a text, and how it is found: SHA-256, in hex.

    >>> digest_of("rap_00_11") == digest_of("rap_00_12")
    False
    """
    return sha256(text[:LONGEST].encode(errors="replace")).hexdigest()


def _seal(head: str, seal_key: bytes) -> str:
    return hmac.digest(seal_key, head.encode(errors="replace"), "sha256").hex()[:SEAL_LENGTH]
