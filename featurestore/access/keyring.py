"""Every key's row, kept in the process for at most CACHED_S seconds.

All of them, so that a request costs no query and a wrong key finds no slower path, a look-up of its own. While the
database is away, one thread a WAIT_S tries it and the others fail at once. Permissions of subjects are never kept:
they are read with the values.
"""

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from django.db import Error as DatabaseError
from django.db.models import Q

from featurestore.access.errors import KeysUnavailable
from featurestore.access.models import ApiKey

CACHED_S = 2.0
WAIT_S = 0.25
REMEMBERED = timedelta(days=30)
"""How long an ended key is still told from one that never was, for the log."""
NEVER_S = float("-inf")


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


class Kept(NamedTuple):
    """One key as the process keeps it. ``holder`` is None for a key that nobody has."""

    digest: str
    expires_ms: float
    ended: Denied | None
    holder: Credential | None


class Snapshot(NamedTuple):
    """The keys as they were at a time on the monotonic clock, from before they were read."""

    read_s: float
    keys: Mapping[str, Kept]


EMPTY = Snapshot(NEVER_S, {})


class Keyring:
    """The keys of this process. Shared among threads."""

    def __init__(self) -> None:
        self._reading = threading.Lock()
        self._snapshot = EMPTY
        self._failed_s = NEVER_S  # on the monotonic clock

    def keys(self) -> Mapping[str, Kept]:
        """Every key by its id, at most CACHED_S old. Raises KeysUnavailable."""
        snapshot = self._snapshot
        if time.monotonic() - snapshot.read_s < CACHED_S:
            return snapshot.keys
        if not self._reading.acquire(timeout=WAIT_S):
            raise KeysUnavailable("The database is slow to answer which keys there are.")
        try:
            return self._read_once()
        finally:
            self._reading.release()

    def forget(self) -> None:
        """Read anew at the next request; not while a thread keeps what it read before a change."""
        with self._reading:
            self._snapshot, self._failed_s = EMPTY, NEVER_S

    def _read_once(self) -> Mapping[str, Kept]:
        now_s = time.monotonic()
        if now_s - self._failed_s < WAIT_S:
            raise KeysUnavailable("The database did not answer which keys there are.")
        if now_s - self._snapshot.read_s >= CACHED_S:
            try:
                self._snapshot = Snapshot(now_s, read_keys())
            except DatabaseError as error:
                self._failed_s = time.monotonic()
                raise KeysUnavailable("The database did not answer which keys there are.") from error
        return self._snapshot.keys


def read_keys() -> dict[str, Kept]:
    """Every key that is alive or ended lately, by its id."""
    recent = datetime.now(UTC) - REMEMBERED
    keys = ApiKey.objects.select_related("client").filter(
        Q(revoked_at=None) | Q(revoked_at__gt=recent), expires_at__gt=recent
    )
    return {key.key_id: _kept(key) for key in keys}


def _kept(key: ApiKey) -> Kept:
    ended = Denied.REVOKED if key.revoked_at else None if key.client.active else Denied.INACTIVE
    holder = Credential(
        key.key_id, key.client.name, frozenset(key.services), frozenset(key.purposes), frozenset(key.scopes)
    )
    return Kept(key.digest, key.expires_at.timestamp() * 1000, ended, holder)


keyring = Keyring()
