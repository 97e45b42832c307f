"""Encryption of one value: AES-256-GCM with a random nonce. Pure.

An encrypted text is a version, ``1:``, and in URL-safe base64 the nonce (12 bytes), the ciphertext and its tag (16).
The place where it is stored is authenticated with it: an encrypted text that was moved elsewhere does not open.
"""

import base64
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from featurestore.subjectkeys.errors import Unreadable

KEY_SIZE = 32
NONCE_SIZE, TAG_SIZE = 12, 16
VERSION = "1:"
ALTERED = "An encrypted value was altered, moved to another subject's row, or encrypted by another key."


def encrypt_bytes(key: bytes, plain: bytes, place: str) -> bytes:
    """Nonce, ciphertext and tag."""
    nonce = secrets.token_bytes(NONCE_SIZE)
    return nonce + AESGCM(key).encrypt(nonce, plain, place.encode())


def decrypt_bytes(key: bytes, encrypted: bytes, place: str) -> bytes:
    """What was encrypted at this place. Raises Unreadable."""
    if len(encrypted) < NONCE_SIZE + TAG_SIZE:
        raise Unreadable("An encrypted value was cut off.")
    try:
        return AESGCM(key).decrypt(encrypted[:NONCE_SIZE], encrypted[NONCE_SIZE:], place.encode())
    except InvalidTag:
        raise Unreadable(
            "An encrypted value was altered, moved to another subject's row, or encrypted by another key."
        ) from None


def encrypt(key: bytes, text: str, place: str) -> str:
    """The encrypted text."""
    return VERSION + base64.urlsafe_b64encode(encrypt_bytes(key, text.encode("utf-8", "surrogatepass"), place)).decode()


def decrypt(key: bytes, encrypted: str, place: str) -> str:
    """The text that was encrypted at this place. Raises Unreadable."""
    if not encrypted.startswith(VERSION):
        raise Unreadable(f"An encrypted value does not begin with {VERSION}: no version of Rapport wrote it.")
    try:
        raw = base64.b64decode(encrypted.removeprefix(VERSION), altchars=b"-_", validate=True)
    except ValueError:
        raise Unreadable("An encrypted value is no base64.") from None
    return decrypt_bytes(key, raw, place).decode("utf-8", "surrogatepass")
