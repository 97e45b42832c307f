"""Who holds a key. Constant time: a wrong key walks the same way as a right one.

The process keeps every key's row for at most CACHED_S seconds, so that a request costs no query and a wrong key finds
no slower path (a look-up of its own). A revocation is in effect everywhere after that time, in this process at once.
Permissions of subjects are never kept: they are read with the values.
"""

import hmac
import secrets
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from django.db import transaction
from django.db.models import Q

from featurestore.access.keys import digest_of, id_of
from featurestore.access.models import ApiKey

CACHED_S = 2.0
REMEMBERED = timedelta(days=30)
"""How long an ended key is still told from one that never was, for the log."""


class Denied(StrEnum):
    """Why a key is not taken. For the log: the caller hears the same of each."""

    MISSING = "missing"
    WRONG = "wrong"
    EXPIRED = "expired"
    REVOKED = "revoked"
    INACTIVE = "inactive_client"


class Credential(NamedTuple):
    """What the holder of a key may do."""

    key_id: str
    client: str
    services: frozenset[str]
    purposes: frozenset[str]
    scopes: frozenset[str]


class _Row(NamedTuple):
    digest: str
    expires_ms: float
    ended: Denied | None
    credential: Credential | None


class _Rows(NamedTuple):
    read_s: float  # on the monotonic clock, before the query
    by_id: Mapping[str, _Row]


_NOBODY = _Row(digest_of(secrets.token_hex()), 0, None, None)
_NEVER = _Rows(float("-inf"), {})

_rows = _NEVER
_reading = threading.Lock()


def credential(key_text: str, now_ms: int) -> Credential | Denied:
    """What the holder of a key may do at a time, or why not. Raises django.db.Error if the keys can't be read."""
    row = _fresh().get(id_of(key_text), _NOBODY)
    if not hmac.compare_digest(row.digest, digest_of(key_text)) or row.credential is None:
        return Denied.WRONG
    if row.ended is not None:
        return row.ended
    return row.credential if now_ms < row.expires_ms else Denied.EXPIRED


def forget_keys() -> None:
    """Read the keys anew at the next request of this process, and again once the open transaction is committed."""
    _forget()
    transaction.on_commit(_forget)


def _forget() -> None:
    global _rows
    _rows = _NEVER


def _fresh() -> Mapping[str, _Row]:
    global _rows
    rows = _rows
    if time.monotonic() - rows.read_s < CACHED_S:
        return rows.by_id
    with _reading:
        if time.monotonic() - _rows.read_s >= CACHED_S:
            _rows = _read()
        return _rows.by_id


def _read() -> _Rows:
    read_s = time.monotonic()
    recent = datetime.now(UTC) - REMEMBERED
    keys = ApiKey.objects.select_related("client").filter(
        Q(revoked_at=None) | Q(revoked_at__gt=recent), expires_at__gt=recent
    )
    return _Rows(read_s, {key.key_id: _row(key) for key in keys})


def _row(key: ApiKey) -> _Row:
    ended = Denied.REVOKED if key.revoked_at else None if key.client.active else Denied.INACTIVE
    holder = Credential(
        key.key_id, key.client.name, frozenset(key.services), frozenset(key.purposes), frozenset(key.scopes)
    )
    return _Row(key.digest, key.expires_at.timestamp() * 1000, ended, holder)
