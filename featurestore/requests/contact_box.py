"""Encryption of contacts and of texts of requests: whoever has only the database reads none of them."""

import base64
import hashlib
import hmac
from functools import cache

from cryptography.fernet import Fernet, InvalidToken

from featurestore.config import settings
from featurestore.requests.errors import Unreadable

UNREADABLE = "This text was stored under another RAPPORT_CONTACT_KEY: start the process with that key."


@cache
def _fernet(contact_key: str) -> Fernet:
    key = hashlib.blake2b(contact_key.encode(), digest_size=32, person=b"contacts").digest()
    return Fernet(base64.urlsafe_b64encode(key))


def encrypt(text: str) -> str:
    """A text, encrypted; an empty one stays empty."""
    return _fernet(settings().contact_key).encrypt(text.encode()).decode() if text else ""


def decrypt(encrypted: str) -> str:
    """The text that was encrypted. Raises Unreadable."""
    try:
        return _fernet(settings().contact_key).decrypt(encrypted.encode()).decode() if encrypted else ""
    except InvalidToken:
        raise Unreadable(UNREADABLE) from None


def keyed_hash(kind: str, text: str) -> str:
    """Hash of a text that only the holder of the key can make: of an address, a code, a duplicate."""
    return hmac.digest(
        settings().contact_key.encode(), f"{kind}\0{text}".encode(errors="surrogatepass"), "sha256"
    ).hex()
