"""Readers of clients: which client authenticates with a key, secret or token, and which clients staff may see."""

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from guardian.shortcuts import get_objects_for_user

from featurestore.access.cache_invalidation import publish_invalidation
from featurestore.access.credential_cache import Credential, Rejection, credential_cache
from featurestore.access.models import ApiClient
from featurestore.access.roles import SECOND_FACTOR_PERMISSIONS

__all__ = ["Credential", "Rejection", "client_credential", "clients_of", "credential", "invalidate_credentials"]


def credential(text: str, now_ms: int) -> Credential | Rejection:
    """The credential of a key or token at a time, or why it is rejected. Raises KeysUnavailable.

    A text is looked up by its digest, so that the time this takes does not depend on how nearly right a wrong text is.
    """
    entry = credential_cache.key_or_token(text, now_ms)
    return entry.result if now_ms < entry.expires_ms else Rejection.EXPIRED


def client_credential(client_id: str, secret: str, now_ms: int) -> Credential | Rejection:
    """What a client may get tokens for with its secret, or why not. Raises KeysUnavailable. Looked up as above."""
    entry = credential_cache.secret(secret)
    if now_ms >= entry.expires_ms:
        return Rejection.EXPIRED
    if isinstance(entry.result, Credential) and entry.result.client != client_id:
        return Rejection.WRONG
    return entry.result


def invalidate_credentials() -> None:
    """Empty this process's credential cache at once, and every process's when the change is committed."""
    credential_cache.invalidate()
    transaction.on_commit(_invalidate_everywhere)


def _invalidate_everywhere() -> None:
    credential_cache.invalidate()
    publish_invalidation()


def clients_of(staff: Any) -> QuerySet[ApiClient]:
    """The clients that a staff member may see: all by role, or those assigned to them."""
    return get_objects_for_user(staff, "access.view_apiclient", ApiClient)


def needs_second_factor(staff: Any) -> bool:
    """Whether a staff member can see customers: themselves, or through a key, secret or login that they can make.

    Whoever is assigned a client may rotate its keys, and then read what they read.
    """
    return any(map(staff.has_perm, SECOND_FACTOR_PERMISSIONS)) or clients_of(staff).exists()
