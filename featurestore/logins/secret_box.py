"""Encryption of second factors in the database: whoever has only a backup of it can compute no code."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken

from featurestore.logins.errors import SecondFactorUnreadable

UNREADABLE = (
    "This second factor was stored under another RAPPORT_SECRET_KEY and can't be read. "
    "Have it reset: manage.py reset_second_factor NAME."
)


class SecretBox:
    """Fernet under a key derived from the installation's secret key."""

    def __init__(self, secret_key: str):
        key = hashlib.blake2b(secret_key.encode(), digest_size=32, person=b"second factors").digest()
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def encrypt(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, encrypted: str) -> str:
        """Raises SecondFactorUnreadable."""
        try:
            return self._fernet.decrypt(encrypted.encode()).decode()
        except InvalidToken:
            raise SecondFactorUnreadable(UNREADABLE) from None
