"""Entries of the audit log of clients, credentials, staff and roles; never with a secret."""

from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import Group, User

from featurestore.access.models import ApiKey, ClientSecret
from featurestore.auditlog.entries import Entry
from featurestore.auditlog.services import append
from featurestore.clock import milliseconds


def log_change(type: str, actor: str, **details: Any) -> None:
    """Append an entry, in the transaction of the change."""
    append(Entry(type, datetime.now(UTC), details, actor))


def log_credential(done: str, issued: ApiKey | ClientSecret, actor: str) -> None:
    """Append what was done with a key or secret."""
    allowance = {name: getattr(issued, name) for name in ("services", "purposes", "scopes") if hasattr(issued, name)}
    facts = {"client": issued.client.name, "key_id": issued.key_id, "expires_at_ms": milliseconds(issued.expires_at)}
    kind = "api_key" if isinstance(issued, ApiKey) else "client_secret"
    log_change(f"{kind}.{done}", actor, **facts, **allowance)


def log_rights(staff: User, actor: str) -> None:
    """Append which rights a staff member has from now on."""
    facts = {"active": staff.is_active, "superuser": staff.is_superuser, "roles": _names(staff.groups)}
    log_change("staff.saved", actor, staff=staff.get_username(), **facts, permissions=_names(staff.user_permissions))


def log_role(role: Group, actor: str) -> None:
    """Append which permissions a role has from now on."""
    log_change("role.saved", actor, role=role.name, permissions=_names(role.permissions))


def _names(related: Any) -> list[str]:
    """Names of roles, or code names of permissions."""
    field = "name" if related.model is Group else "codename"
    return sorted(related.values_list(field, flat=True))
