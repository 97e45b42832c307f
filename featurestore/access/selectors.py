"""Who holds a key, and which clients a person of staff may see."""

import hmac
import secrets
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from guardian.shortcuts import get_objects_for_user

from featurestore.access.keyring import Credential, Denied, Kept, keyring
from featurestore.access.keys import digest_of, id_of
from featurestore.access.models import ApiClient

__all__ = ["Credential", "Denied", "clients_of", "credential", "forget_keys"]

NOBODYS = Kept(digest_of(secrets.token_hex()), 0, None, None)


def credential(key_text: str, now_ms: int) -> Credential | Denied:
    """What the holder of a key may do at a time, or why not. Raises KeysUnavailable.

    Constant time: a key that is unknown, malformed or wrong is hashed and compared as a right one is. A revocation is
    in effect after CACHED_S seconds everywhere, in this process at once.
    """
    kept = keyring.keys().get(id_of(key_text), NOBODYS)
    if not hmac.compare_digest(kept.digest, digest_of(key_text)) or kept.holder is None:
        return Denied.WRONG
    if kept.ended is not None:
        return kept.ended
    return kept.holder if now_ms < kept.expires_ms else Denied.EXPIRED


def forget_keys() -> None:
    """Read the keys anew at the next request of this process, and again once the open transaction is committed."""
    keyring.forget()
    transaction.on_commit(keyring.forget)


def clients_of(staff: Any) -> QuerySet[ApiClient]:
    """The clients that a person of staff may see: all by their role, or those entrusted to them."""
    return get_objects_for_user(staff, "access.view_apiclient", ApiClient)
