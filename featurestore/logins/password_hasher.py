"""Django's PBKDF2, computed by ``password_checks``. Stored hashes are Django's own and stay readable to it."""

import base64

from django.contrib.auth.hashers import PBKDF2PasswordHasher

from featurestore.logins.password_checks import password_checks


class QueuedPBKDF2PasswordHasher(PBKDF2PasswordHasher):
    """Hasher of every password: of a login, of an unknown name, of a changed password. Raises PasswordChecksBusy."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        self._check_encode_args(password, salt)  # type: ignore[attr-defined]  # the stubs lack it
        rounds = iterations or self.iterations
        key = password_checks().derive(password.encode(), salt.encode(), rounds, self.digest().name)
        return f"{self.algorithm}${rounds}${salt}${base64.b64encode(key).decode()}"
