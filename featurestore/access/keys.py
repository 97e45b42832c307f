"""Texts of credentials: API keys, client secrets and access tokens. Pure.

A key is ``rap_ID_SECRET``, a client secret ``ras_ID_SECRET``. The id (12 hex digits) is not secret: logs contain it.
The secret has 192 random bits, so that a plain SHA-256 protects it: it can't be guessed, and needs no slow hash.

A token names the secret for which it was issued, and carries a signature (HMAC-SHA-256, 64 bits):

    rat_ 0123456789ab _ 6b49d200 3f1c...(32 hex digits) 9a0b...(16 hex digits)
         secret's id    expiry   128 random bits        signature of all before it

The signature grants nothing: a token is valid if the database holds the digest of its whole text. It spares the
database look-ups of texts that we never issued.
"""

import hmac
import secrets
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

ID_LENGTH = 12
SECRET_BYTES = 24
TOKEN_BYTES = 16
SIGNATURE_LENGTH = 16
EXPIRES = slice(17, 25)
MAX_LENGTH = 128
"""Characters of a text that its digest covers: more than any credential has."""


class Prefix(StrEnum):
    """Kind of a credential, readable by people and by scanners for leaked secrets."""

    KEY = "rap_"
    SECRET = "ras_"  # noqa: S105  (a prefix)
    TOKEN = "rat_"  # noqa: S105


class NewCredential(NamedTuple):
    """Id and text of a key or secret that was just made. Only its digest is stored."""

    key_id: str
    text: str


def new_credential(prefix: Prefix) -> NewCredential:
    """A new random key or secret."""
    key_id = secrets.token_hex(ID_LENGTH // 2)
    return NewCredential(key_id, f"{readable_part(prefix, key_id)}{secrets.token_hex(SECRET_BYTES)}")


def new_token(secret_id: str, expires_s: int, signing_key: bytes) -> str:
    """A new token, issued for a secret, that expires at a time in seconds since 1970."""
    head = f"{readable_part(Prefix.TOKEN, secret_id)}{expires_s:08x}{secrets.token_hex(TOKEN_BYTES)}"
    return head + _signature(head, signing_key)


def readable_part(prefix: Prefix, key_id: str) -> str:
    """The readable beginning of a text, before what is secret.

    >>> readable_part(Prefix.TOKEN, "0123456789ab")
    'rat_0123456789ab_'
    """
    return f"{prefix}{key_id}_"


def key_id_of(text: str) -> str:
    """The characters at the id's position, of any text."""
    return text[len(Prefix.KEY) : len(Prefix.KEY) + ID_LENGTH]


def is_signed(text: str, signing_key: bytes) -> bool:
    """Whether a text is a token that we issued, expired or not. Takes the same time for any text."""
    expected = _signature(text[:-SIGNATURE_LENGTH], signing_key)
    return hmac.compare_digest(expected.encode(), text[-SIGNATURE_LENGTH:].encode(errors="replace"))


def expiry_ms(token: str) -> int:
    """When a signed token expires, in milliseconds since 1970."""
    return int(token[EXPIRES], 16) * 1000


def digest_of(text: str) -> str:
    """SHA-256 of a text, in hex: what is stored of it, and how it is looked up.

    >>> digest_of("rap_00_11") == digest_of("rap_00_12")
    False
    """
    return sha256(text[:MAX_LENGTH].encode(errors="replace")).hexdigest()


def _signature(head: str, signing_key: bytes) -> str:
    return hmac.digest(signing_key, head.encode(errors="replace"), "sha256").hex()[:SIGNATURE_LENGTH]
