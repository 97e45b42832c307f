"""TLS of a client: the files that it needs, and Python's context of them.

The server's certificate is always verified, with its host name. A context is made again when a file has changed, so
that a renewed certificate is used by the next connection.
"""

import ssl
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple


class Tls(NamedTuple):
    """Files of a client. Without a CA file it trusts the system's authorities (or SSL_CERT_FILE's)."""

    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    key_password: str = ""

    def __repr__(self) -> str:
        return f"<Tls {' '.join(self.files)}>"  # no password

    def context(self) -> ssl.SSLContext:
        """The context of these files as they are now. Raises OSError; ``unusable`` says which file is the cause."""
        return _context(self, tuple(Path(file).stat().st_mtime_ns for file in self.files))

    @property
    def files(self) -> list[str]:
        return [file for file in (self.ca_file, self.certificate_file, self.key_file) if file]


@lru_cache(maxsize=16)
def _context(tls: Tls, _changed: tuple[int, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file or None)
    if tls.certificate_file:
        # A password in any case: without one OpenSSL would ask the terminal for an encrypted key's.
        context.load_cert_chain(tls.certificate_file, tls.key_file or None, lambda: tls.key_password)
    return context


def unusable(tls: Tls) -> str:
    """Why the files can't be used; empty if they can."""
    for file in tls.files:
        try:
            Path(file).read_bytes()
        except OSError as error:
            return f"{file} can't be read: {error.strerror}"
    try:
        tls.context()
    except OSError as error:  # an SSLError is one
        return f"{' and '.join(tls.files)} are not what OpenSSL takes: {error.strerror or error}"
    return ""
