"""Keys that sign tree heads: Ed25519, derived from the secrets that a key provider holds.

The setting RAPPORT_AUDIT_LOG_KEY_PROVIDER names the provider: the environment, or a file.
"""

import base64
import hashlib
from functools import cache
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from featurestore.auditlog.errors import KeyUnusable
from featurestore.auditlog.log_verifier import ORIGIN, VerifierKey
from featurestore.config import Settings, settings
from featurestore.key_providers import ListUnusable, listed_keys


class SigningPair(NamedTuple):
    """Private key of tree heads, and the public one by which they are verified."""

    private: Ed25519PrivateKey
    public: VerifierKey

    def sign(self, text: str) -> str:
        """A signed note of a text that ends with a line break."""
        signature = base64.b64encode(self.public.hash + self.private.sign(text.encode())).decode()
        return f"{text}\n— {self.public.name} {signature}\n"


def signing_pairs(conf: Settings | None = None) -> list[SigningPair]:
    """The keys of the provider: the first one signs, an earlier one introduces it. Raises KeyUnusable."""
    return [_pair(key_id, secret) for key_id, secret in secrets_of(conf or settings())]


def secrets_of(conf: Settings) -> list[tuple[str, str]]:
    """Ids and secrets that the provider holds, in order. Raises KeyUnusable."""
    try:
        return listed_keys(conf.audit_log_key_provider, conf.audit_log_keys)
    except ListUnusable as error:
        raise KeyUnusable(f"The keys of the audit log {error}") from None


@cache
def _pair(key_id: str, secret: str) -> SigningPair:
    seed = hashlib.blake2b(secret.encode(), digest_size=32, person=b"auditlog").digest()
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return SigningPair(private, VerifierKey(f"{ORIGIN}/{key_id}", public))
