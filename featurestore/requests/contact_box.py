"""Encryption of links for customers, and of what is stored about exports and erasures under way, by one key."""

import base64
import hashlib
import hmac
from functools import cache

from cryptography.fernet import Fernet, InvalidToken

from featurestore.config import settings
from featurestore.requests.errors import Unreadable

STORED, LINKS = "contacts", "links"
"""Uses: what is stored opens no link, so that nobody who reads the database and sends a text can make one."""
UNREADABLE = "This text was stored under another RAPPORT_CONTACT_KEY: start the process with that key."


@cache
def _fernet(contact_key: str, use: str) -> Fernet:
    key = hashlib.blake2b(contact_key.encode(), digest_size=32, person=use.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))


def encrypt(text: str, use: str = STORED) -> str:
    """A text, encrypted by the key of its use; an empty one stays empty."""
    return _fernet(settings().contact_key, use).encrypt(text.encode()).decode() if text else ""


def decrypt(encrypted: str, use: str = STORED) -> str:
    """The text that was encrypted for the same use. Raises Unreadable."""
    try:
        return _fernet(settings().contact_key, use).decrypt(encrypted.encode()).decode() if encrypted else ""
    except InvalidToken:
        raise Unreadable(UNREADABLE) from None


def keyed_hash(kind: str, text: str) -> str:
    """Hash of a text that only the holder of the key can make: of an address, a code, a duplicate."""
    return hmac.digest(
        settings().contact_key.encode(), f"{kind}\0{text}".encode(errors="surrogatepass"), "sha256"
    ).hex()
