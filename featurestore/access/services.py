"""Writers of clients, keys, secrets, tokens and roles. Each change is logged with its actor, never with a secret."""

import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import TypeVar

import structlog
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from guardian.shortcuts import assign_perm, remove_perm
from oauth2_provider.models import AccessToken, clear_expired

from featurestore.access.audit_entries import log_change, log_credential
from featurestore.access.errors import KeyEnded, TooManySecrets, WrongAllowance, WrongLifetime, WrongName
from featurestore.access.keys import Prefix, digest_of, new_credential, readable_part
from featurestore.access.models import ApiClient, ApiKey, ClientSecret, client_name
from featurestore.access.roles import ROLES
from featurestore.access.scopes import Scope
from featurestore.access.selectors import invalidate_credentials

LIFETIME = timedelta(days=90)
MAX_LIFETIME = timedelta(days=366)
OVERLAP = timedelta(days=1)
"""How long a rotated key or secret still works, so that its client can change over without a refused request."""
MAX_LIVE_SECRETS = 2

NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
log = structlog.get_logger(__name__)


def create_client(name: str, *, owner: str, actor: str, description: str = "") -> ApiClient:
    """A new client, without keys. Raises WrongName."""
    client = ApiClient(name=name, owner=owner, description=description)
    save_client(client, actor=actor)
    return client


def save_client(client: ApiClient, *, actor: str, fields: Collection[str] | None = None) -> None:
    """Write a new client, or the named fields of a changed one. The credentials of an inactive one are refused.

    Raises WrongName.
    """
    try:
        client_name(client.name)
        with transaction.atomic():
            client.save(update_fields=fields)
            log_change("client.saved", actor, client=client.name, active=client.active, owner=client.owner)
    except ValidationError as error:
        raise WrongName(f"A client's name has {error.message}") from None
    except IntegrityError:
        raise WrongName(f"There is a client {client.name} already: give this one another name.") from None
    invalidate_credentials()
    log.info("client saved", client=client.name, active=client.active, actor=actor)


def deactivate(client: ApiClient, *, actor: str) -> None:
    """Set a client inactive: its credentials are refused by every process."""
    with transaction.atomic():
        ApiClient.objects.filter(pk=client.pk).update(active=False)
        log_change("client.deactivated", actor, client=client.name)
    client.refresh_from_db()
    invalidate_credentials()
    log.info("client deactivated", client=client.name, actor=actor)


def allow(
    client: ApiClient, *, services: Collection[str], purposes: Collection[str], scopes: Collection[str], actor: str
) -> None:
    """Set what a client's tokens may do, those that exist included. Raises WrongAllowance."""
    allowance = _allowance(services, purposes, scopes)
    with transaction.atomic():
        ApiClient.objects.filter(pk=client.pk).update(**allowance)
        log_change("client.allowed", actor, client=client.name, **allowance)
    client.refresh_from_db()
    invalidate_credentials()
    log.info("client allowed", client=client.name, actor=actor, **allowance)


def create_key(
    client: ApiClient,
    *,
    services: Collection[str],
    purposes: Collection[str],
    scopes: Collection[str],
    actor: str,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A new key of a client, and its text, which can't be shown again. Expires after 90 days by default.

    Raises WrongAllowance, WrongLifetime.
    """
    allowance = _allowance(services, purposes, scopes)
    key, text = _issue(ApiKey(client=client, **allowance), Prefix.KEY, actor, expires_at)
    log.info("key created", client=client.name, key_id=key.key_id, actor=actor, **allowance)
    return key, text


@transaction.atomic
def create_secret(client: ApiClient, *, actor: str, expires_at: datetime | None = None) -> tuple[ClientSecret, str]:
    """A new secret of a client, and its text, which can't be shown again. Expires after 90 days by default.

    Raises TooManySecrets, WrongLifetime.
    """
    ApiClient.objects.select_for_update().get(pk=client.pk)  # locked: two transactions can't count and add at once
    if client.secrets.filter(revoked_at=None, expires_at__gt=datetime.now(UTC)).count() >= MAX_LIVE_SECRETS:
        raise TooManySecrets(
            f"This client has {MAX_LIVE_SECRETS} working secrets: revoke the one that it no longer uses."
        )
    secret, text = _issue(ClientSecret(client=client), Prefix.SECRET, actor, expires_at)
    log.info("secret created", client=client.name, key_id=secret.key_id, actor=actor)
    return secret, text


def revoke(issued: ApiKey | ClientSecret, *, actor: str) -> None:
    """Revoke a key, or a secret with its tokens, in every process. A repeat keeps the first date."""
    with transaction.atomic():
        ended = type(issued).objects.filter(pk=issued.pk, revoked_at=None).update(revoked_at=datetime.now(UTC))
        if isinstance(issued, ClientSecret):
            readable = readable_part(Prefix.TOKEN, issued.key_id)
            AccessToken.objects.filter(application=issued.client, token=readable).delete()
        if ended:
            log_credential("revoked", issued, actor)
    if ended:
        kind = issued._meta.verbose_name
        log.info("revoked", what=kind, client=issued.client.name, key_id=issued.key_id, actor=actor)
    invalidate_credentials()
    issued.refresh_from_db()


def revoke_tokens(client: ApiClient, *, actor: str) -> int:
    """Revoke every token of a client, in every process; their number. The client may get new ones."""
    with transaction.atomic():
        ended, _ = AccessToken.objects.filter(application=client).delete()
        log_change("client.tokens_revoked", actor, client=client.name)
    log.info("tokens revoked", client=client.name, tokens=ended, actor=actor)
    invalidate_credentials()
    return ended


def rotate(key: ApiKey, *, actor: str, overlap: timedelta = OVERLAP) -> tuple[ApiKey, str]:
    """A new key that may do the same; the old one expires after an overlap. Raises KeyEnded."""
    with transaction.atomic():
        _expire_after(key, overlap, actor)
        return create_key(key.client, services=key.services, purposes=key.purposes, scopes=key.scopes, actor=actor)


def rotate_secret(secret: ClientSecret, *, actor: str, overlap: timedelta = OVERLAP) -> tuple[ClientSecret, str]:
    """A new secret; the old one expires after an overlap. Raises KeyEnded, TooManySecrets."""
    with transaction.atomic():
        _expire_after(secret, overlap, actor)
        return create_secret(secret.client, actor=actor)


def _expire_after(issued: ApiKey | ClientSecret, overlap: timedelta, actor: str) -> None:
    now = datetime.now(UTC)
    if issued.revoked_at or issued.expires_at <= now:
        raise KeyEnded(f"This {issued._meta.verbose_name} has ended. Create a new one for the client.")
    issued.expires_at = min(issued.expires_at, now + overlap)
    issued.save(update_fields=["expires_at"])
    log_credential("replaced", issued, actor)


IssuedT = TypeVar("IssuedT", ApiKey, ClientSecret)


def _issue(issued: IssuedT, prefix: Prefix, actor: str, expires_at: datetime | None) -> tuple[IssuedT, str]:
    now = datetime.now(UTC)
    issued.expires_at = expires_at or now + LIFETIME
    if not now < issued.expires_at <= now + MAX_LIFETIME:
        raise WrongLifetime(f"Choose an expiry in the future, at most {MAX_LIFETIME.days} days from now.")
    created = new_credential(prefix)
    issued.key_id, issued.digest, issued.created_by = created.key_id, digest_of(created.text), actor
    with transaction.atomic():
        issued.save(force_insert=True)
        log_credential("created", issued, actor)
    invalidate_credentials()
    return issued, created.text


def assign_client(client: ApiClient, staff: User | Group, *, actor: str) -> None:
    """Let a staff member or role see one client and manage its keys."""
    with transaction.atomic():
        for permission in ("view_apiclient", "change_apiclient"):
            assign_perm(f"access.{permission}", staff, client)
        log_change("client.assigned", actor, client=client.name, staff=str(staff))
    log.info("client assigned", client=client.name, staff=str(staff), actor=actor)


def unassign_client(client: ApiClient, staff: User | Group, *, actor: str) -> None:
    """Undo ``assign_client``."""
    with transaction.atomic():
        for permission in ("view_apiclient", "change_apiclient"):
            remove_perm(f"access.{permission}", staff, client)
        log_change("client.unassigned", actor, client=client.name, staff=str(staff))
    log.info("client unassigned", client=client.name, staff=str(staff), actor=actor)


_last_used_hours: dict[str, datetime] = {}
_use_writer = ThreadPoolExecutor(1, "last-used-hours")  # starts its thread at the first write


def record_use(key_id: str, now_ms: int) -> None:
    """Record the hour in which a key was last used, or a secret or one of its tokens.

    One write a key, hour and process, in another thread: no request waits for it.
    """
    hour = datetime.fromtimestamp(now_ms // 3_600_000 * 3600, UTC)
    if _last_used_hours.get(key_id) == hour:
        return
    _last_used_hours[key_id] = hour
    _use_writer.submit(_write_use, key_id, hour)


def _write_use(key_id: str, hour: datetime) -> None:
    try:
        for issued in (ApiKey, ClientSecret):
            older = issued.objects.filter(Q(last_used_at=None) | Q(last_used_at__lt=hour), key_id=key_id)
            older.update(last_used_at=hour)
    except Exception:  # no caller reads the result: any error is logged, and the next use tries again
        _last_used_hours.pop(key_id, None)
        log.warning("last use of a key not written", key_id=key_id, exc_info=True)
    finally:
        connection.close()  # of this thread: the next write may be an hour away


def seed_roles() -> list[Group]:
    """Create the shipped roles or bring their permissions up to date. Idempotent."""
    return [_seed_role(name, permissions) for name, permissions in ROLES.items()]


@transaction.atomic
def _seed_role(name: str, permissions: Collection[str]) -> Group:
    group, _ = Group.objects.get_or_create(name=name)
    wanted = Q(pk__in=[])
    for permission in permissions:
        app, codename = permission.split(".")
        wanted |= Q(content_type__app_label=app, codename__regex="^" + codename.replace("*", ".*") + "$")
    group.permissions.set(Permission.objects.filter(wanted))
    return group


def prune() -> None:
    """Delete expired tokens, and expired sessions of staff where this process knows sessions."""
    clear_expired()
    if apps.is_installed("django.contrib.sessions"):
        import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()


def _allowance(services: Collection[str], purposes: Collection[str], scopes: Collection[str]) -> dict[str, list[str]]:
    allowance = {
        "services": _names("services", services),
        "purposes": _names("purposes", purposes),
        "scopes": _scopes(scopes),
    }
    if not purposes or (not services and Scope.FEATURES_READ in scopes):
        raise WrongAllowance("Name the purposes, and the services too where features may be read.")
    return allowance


def _names(what: str, names: Collection[str]) -> list[str]:
    if isinstance(names, str) or not all(isinstance(name, str) and NAME.fullmatch(name) for name in names):
        raise WrongAllowance(f"List the {what} by name: lower-case letters, digits and _.")
    return sorted(set(names))


def _scopes(scopes: Collection[str]) -> list[str]:
    unknown = set(scopes) - set(Scope)
    if unknown or not scopes:
        raise WrongAllowance(f"Scopes are one or more of {', '.join(Scope)}.")
    return sorted(set(scopes))
