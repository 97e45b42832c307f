"""Who holds a key, secret or token, and which clients a person of staff may see."""

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from guardian.shortcuts import get_objects_for_user

from featurestore.access.cache_invalidation import announce
from featurestore.access.credential_cache import Credential, Rejection, credential_cache
from featurestore.access.models import ApiClient

__all__ = ["Credential", "Rejection", "client_credential", "clients_of", "credential", "invalidate_credentials"]


def credential(text: str, now_ms: int) -> Credential | Rejection:
    """What the holder of a key or token may do at a time, or why not. Raises KeysUnavailable.

    Nothing in the time it takes tells how nearly right a wrong text is: it is found by its digest, or not.
    """
    kept = credential_cache.holder(text, now_ms)
    return kept.found if now_ms < kept.expires_ms else Rejection.EXPIRED


def client_credential(client_id: str, secret: str, now_ms: int) -> Credential | Rejection:
    """What a client may ask tokens for, if the secret is its own, or why not. Raises KeysUnavailable. Asks as above."""
    kept = credential_cache.secret(secret)
    if now_ms >= kept.expires_ms:
        return Rejection.EXPIRED
    if isinstance(kept.found, Credential) and kept.found.client != client_id:
        return Rejection.WRONG
    return kept.found


def invalidate_credentials() -> None:
    """Read credentials anew at the next request of this process, and of every one once the change is committed."""
    credential_cache.forget()
    transaction.on_commit(_everywhere)


def _everywhere() -> None:
    credential_cache.forget()
    announce()


def clients_of(staff: Any) -> QuerySet[ApiClient]:
    """The clients that a person of staff may see: all by their role, or those entrusted to them."""
    return get_objects_for_user(staff, "access.view_apiclient", ApiClient)
