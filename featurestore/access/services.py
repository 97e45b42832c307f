"""The only writers of clients, keys and roles. Every change is logged with its actor; a secret never is."""

import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import structlog
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from guardian.shortcuts import assign_perm, remove_perm

from featurestore.access.errors import KeyEnded, WrongAllowance, WrongLifetime, WrongName
from featurestore.access.keys import digest_of, new_key
from featurestore.access.models import ApiClient, ApiKey, client_name
from featurestore.access.roles import ROLES
from featurestore.access.scopes import Scope
from featurestore.access.selectors import forget_keys

LIFETIME = timedelta(days=90)
LONGEST_LIFETIME = timedelta(days=366)
OVERLAP = timedelta(days=1)
"""How long a rotated key still works, so that its client can change over without a refused request."""

NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
log = structlog.get_logger(__name__)


def create_client(name: str, *, owner: str, actor: str, description: str = "") -> ApiClient:
    """A new client, without keys. Raises WrongName."""
    client = ApiClient(name=name, owner=owner, description=description)
    save_client(client, actor=actor)
    return client


def save_client(client: ApiClient, *, actor: str) -> None:
    """Write a new or changed client. An inactive one's keys don't work. Raises WrongName."""
    try:
        client_name(client.name)
        with transaction.atomic():
            client.save()
    except ValidationError as error:
        raise WrongName(f"A client's name has {error.message}") from None
    except IntegrityError:
        raise WrongName(f"There is a client {client.name} already: give this one another name.") from None
    forget_keys()
    log.info("client saved", client=client.name, active=client.active, actor=actor)


def create_key(
    client: ApiClient,
    *,
    services: Collection[str],
    purposes: Collection[str],
    scopes: Collection[str],
    actor: str,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A new key of a client, and its text, which can't be shown again. Lives 90 days unless told.

    Raises WrongAllowance, WrongLifetime.
    """
    allowance = {
        "services": _names("services", services),
        "purposes": _names("purposes", purposes),
        "scopes": _scopes(scopes),
    }
    if not purposes or (not services and Scope.FEATURES_READ in scopes):
        raise WrongAllowance("Name the purposes of a key, and the services too if it may read features.")
    now = datetime.now(UTC)
    expires_at = expires_at or now + LIFETIME
    if not now < expires_at <= now + LONGEST_LIFETIME:
        raise WrongLifetime(f"A key ends in the future, at most {LONGEST_LIFETIME.days} days from now.")
    born = new_key()
    key = ApiKey.objects.create(
        client=client,
        key_id=born.key_id,
        digest=digest_of(born.text),
        expires_at=expires_at,
        created_by=actor,
        **allowance,
    )
    forget_keys()
    log.info("key created", client=client.name, key_id=key.key_id, actor=actor, **allowance)
    return key, born.text


def revoke(key: ApiKey, *, actor: str) -> None:
    """End a key: in this process at once, in others within 2 seconds. A repeat keeps the first date."""
    if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=datetime.now(UTC)):
        log.info("key revoked", client=key.client.name, key_id=key.key_id, actor=actor)
    forget_keys()
    key.refresh_from_db()


def rotate(key: ApiKey, *, actor: str, overlap: timedelta = OVERLAP) -> tuple[ApiKey, str]:
    """A new key that may do the same; the old one ends after an overlap. Raises KeyEnded."""
    now = datetime.now(UTC)
    if key.revoked_at or key.expires_at <= now:
        raise KeyEnded("This key has ended. Create a new one for the client.")
    with transaction.atomic():
        heir = create_key(key.client, services=key.services, purposes=key.purposes, scopes=key.scopes, actor=actor)
        ApiKey.objects.filter(pk=key.pk).update(expires_at=min(key.expires_at, now + overlap))
    key.refresh_from_db()
    return heir


def entrust(client: ApiClient, staff: User | Group, *, actor: str) -> None:
    """Let a person or role of staff see one client and manage its keys."""
    for permission in ("view_apiclient", "change_apiclient"):
        assign_perm(f"access.{permission}", staff, client)
    log.info("client entrusted", client=client.name, staff=str(staff), actor=actor)


def end_trust(client: ApiClient, staff: User | Group, *, actor: str) -> None:
    """Take back what ``entrust`` gave."""
    for permission in ("view_apiclient", "change_apiclient"):
        remove_perm(f"access.{permission}", staff, client)
    log.info("trust ended", client=client.name, staff=str(staff), actor=actor)


_used_hours: dict[str, datetime] = {}
_writer = ThreadPoolExecutor(1, "use-of-keys")  # its thread begins with the first write


def record_use(key_id: str, now_ms: int) -> None:
    """Note the hour in which a key was last used: one write a key, hour and process, for which no request waits."""
    hour = datetime.fromtimestamp(now_ms // 3_600_000 * 3600, UTC)
    if _used_hours.get(key_id) == hour:
        return
    _used_hours[key_id] = hour
    _writer.submit(_write_use, key_id, hour)


def _write_use(key_id: str, hour: datetime) -> None:
    try:
        ApiKey.objects.filter(Q(last_used_at=None) | Q(last_used_at__lt=hour), key_id=key_id).update(last_used_at=hour)
    except Exception:  # nobody waits for the result: whatever it is, it is logged
        log.warning("use of a key not noted", key_id=key_id, exc_info=True)
    finally:
        connection.close()  # the thread's own: the next write may be an hour away


def seed_roles() -> list[Group]:
    """Create the shipped roles or bring their permissions up to date. Harmless when repeated."""
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


def _names(what: str, names: Collection[str]) -> list[str]:
    if isinstance(names, str) or not all(isinstance(name, str) and NAME.fullmatch(name) for name in names):
        raise WrongAllowance(f"List the {what} of a key by name: lower-case letters, digits and _.")
    return sorted(set(names))


def _scopes(scopes: Collection[str]) -> list[str]:
    unknown = set(scopes) - set(Scope)
    if unknown or not scopes:
        raise WrongAllowance(f"Scopes of a key are one or more of {', '.join(Scope)}.")
    return sorted(set(scopes))
