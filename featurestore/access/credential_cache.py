"""What every credential may do, entry in the process for at most CACHED_S seconds, or until a change is announced.

Keys and secrets are read all at once, so that a request costs no query and a wrong key finds no slower path, a look-up
of its own. A token is read when it is first seen, since any process may be the first to see it, a moment after another
one issued it; those in use are read anew together. Only a token of ours is looked for (``is_signed``), whether it is alive
or not, once while it is remembered: no made-up text costs a query.

While the database is away, one thread a WAIT_S tries it and the others fail at once. Permissions of subjects are never
entry: they are read with the values.
"""

import hmac
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from django.db import Error as DatabaseError
from django.db import connection
from django.db.models import F, Q
from oauth2_provider.models import AccessToken

from featurestore.access.cache_invalidation import InvalidationListener
from featurestore.access.errors import KeysUnavailable
from featurestore.access.keys import Prefix, digest_of, expiry_ms, key_id_of, readable, is_signed
from featurestore.access.models import ApiClient, ApiKey, ClientSecret
from featurestore.access.scopes import purposes_in
from featurestore.config import settings

CACHED_S = 2.0
WAIT_S = 0.25
REMEMBERED = timedelta(days=30)
"""How long an ended key is still told from one that never was, for the log."""
NEVER_S = float("-inf")
FOR_EVER_MS = float("inf")


class Rejection(StrEnum):
    """Why a credential is not taken. For the log: the caller hears the same of each."""

    MISSING = "missing"
    WRONG = "wrong"
    EXPIRED = "expired"
    REVOKED = "revoked"
    INACTIVE = "inactive_client"


class Credential(NamedTuple):
    """What the found of a key or token may do. Of a token, ``key_id`` is the secret's that bought it."""

    key_id: str
    client: str
    services: frozenset[str]
    purposes: frozenset[str]
    scopes: frozenset[str]
    requests_per_s: int


class CacheEntry(NamedTuple):
    """One credential as the process keeps it."""

    expires_ms: float
    found: Credential | Rejection


class UsedToken(NamedTuple):
    """A token that was taken: the secret that bought it, and how long it may live."""

    secret_id: str
    expires_ms: float


class Snapshot(NamedTuple):
    """Credentials by their digests, as they were at a time on the monotonic clock, from before they were read.

    ``keys_and_tokens`` has keys, and tokens as they come; ``secrets`` buy tokens and open nothing else.
    """

    read_s: float
    keys_and_tokens: dict[str, CacheEntry]
    secrets: Mapping[str, CacheEntry]


UNKNOWN = CacheEntry(FOR_EVER_MS, Rejection.WRONG)


class CredentialCache:
    """The credentials that this process knows. Shared among threads."""

    def __init__(self) -> None:
        self.signing_key = hmac.digest(settings().secret_key.encode(), b"seal of access tokens", "sha256")
        self._asking = threading.Lock()
        self._snapshot = Snapshot(NEVER_S, {}, {})
        self._failed_s = NEVER_S  # on the monotonic clock
        self._used: dict[str, UsedToken] = {}  # tokens that were taken, by their digests
        self._listener: InvalidationListener | None = None

    def key_or_token(self, text: str, now_ms: int) -> CacheEntry:
        """The key or token of this text, at most CACHED_S old. Raises KeysUnavailable."""
        known, digest = self._current(), digest_of(text)
        return known.keys_and_tokens.get(digest) or self._token(known, text, digest, now_ms)

    def secret(self, text: str) -> CacheEntry:
        """The client's secret of this text, at most CACHED_S old. Raises KeysUnavailable."""
        return self._current().secrets.get(digest_of(text), UNKNOWN)

    def invalidate(self) -> None:
        """Read anew at the next request; not while a thread keeps what it read before a change."""
        with self._asking:
            self._snapshot, self._failed_s = Snapshot(NEVER_S, {}, {}), NEVER_S

    def _current(self) -> Snapshot:
        snapshot = self._snapshot  # once: another thread may forget it meanwhile
        if time.monotonic() - snapshot.read_s < CACHED_S:
            return snapshot
        with self._database():
            now_s = time.monotonic()
            if now_s - self._snapshot.read_s >= CACHED_S:
                self._listen()
                self._snapshot = Snapshot(now_s, read_keys() | self._used_tokens(), read_secrets())
            return self._snapshot

    def _token(self, known: Snapshot, text: str, digest: str, now_ms: int) -> CacheEntry:
        if not text.startswith(Prefix.TOKEN) or not is_signed(text, self.signing_key):
            return UNKNOWN
        expires_ms = expiry_ms(text)
        if now_ms >= expires_ms:
            return CacheEntry(FOR_EVER_MS, Rejection.EXPIRED)
        with self._database():
            # Also when it is gone: once a snapshot, whoever repeats it. A snapshot forgotten meanwhile keeps nothing.
            used = UsedToken(key_id_of(text), expires_ms)
            known.keys_and_tokens[digest] = entry = CacheEntry(
                expires_ms, read_tokens({digest: used.secret_id})[digest]
            )
            self._used[digest] = used
        return entry

    def _used_tokens(self) -> dict[str, CacheEntry]:
        """The tokens that this process has taken and that may still be alive, in one query."""
        now_ms = time.time_ns() // 1_000_000
        self._used = {digest: used for digest, used in self._used.items() if now_ms < used.expires_ms}
        found = read_tokens({digest: used.secret_id for digest, used in self._used.items()})
        return {digest: CacheEntry(self._used[digest].expires_ms, found) for digest, found in found.items()}

    @contextmanager
    def _database(self) -> Iterator[None]:
        """One thread at a time asks, and while the database is away, one a WAIT_S."""
        if not self._asking.acquire(timeout=WAIT_S):
            raise KeysUnavailable("The database is slow to answer which keys there are.")
        try:
            if time.monotonic() - self._failed_s < WAIT_S:
                raise KeysUnavailable("The database did not answer which keys there are.")
            with request_connection():
                yield
        except DatabaseError as error:
            self._failed_s = time.monotonic()
            raise KeysUnavailable("The database did not answer which keys there are.") from error
        finally:
            self._asking.release()

    def _listen(self) -> None:
        if self._listener is None or not self._listener.is_alive():  # a fork takes no threads along
            self._listener = InvalidationListener(settings().control_url, self.invalidate)
            self._listener.start()


@contextmanager
def request_connection() -> Iterator[None]:
    """This thread's connection to the database, as Django tends it around a request: the fast lane has none.

    A broken one is exchanged. One that is opened here is closed here: threads come and go with the callers, and one
    that never asks again must hold no connection.
    """
    connection.close_if_unusable_or_obsolete()
    opened = connection.connection is None
    try:
        yield
    finally:
        if opened:
            connection.close()


def read_keys() -> dict[str, CacheEntry]:
    """Every key that is alive or ended lately, by its digest."""
    keys = ApiKey.objects.select_related("client").filter(_of_late())
    return {key.digest: _entry(key, key) for key in keys}


def read_secrets() -> dict[str, CacheEntry]:
    """Every client's secret that is alive or ended lately, by its digest, with what its client may do."""
    found = ClientSecret.objects.select_related("client").filter(_of_late())
    return {secret.digest: _entry(secret, secret.client) for secret in found}


def read_tokens(wanted: Mapping[str, str]) -> dict[str, Credential | Rejection]:
    """What the keys_and_tokens of tokens may do: what each was issued for, as far as its client still may.

    ``wanted`` has the secret's id by the token's digest. No row: revoked, by itself, with its secret, or its client.
    """
    found: dict[str, Credential | Rejection] = dict.fromkeys(wanted, Rejection.REVOKED)
    if wanted:
        rows = (
            AccessToken.objects.select_related("application")
            .filter(token_checksum__in=wanted, application__secrets__revoked_at=None)
            .annotate(secret_id=F("application__secrets__key_id"))
        )
        for row in rows:
            if row.secret_id == wanted[row.token_checksum] and row.token == readable(Prefix.TOKEN, row.secret_id):
                found[row.token_checksum] = _of_token(row)
    return found


def _of_token(row: Any) -> Credential | Rejection:
    client: ApiClient = row.application
    if not client.active:
        return Rejection.INACTIVE
    words = frozenset(row.scope.split())
    return Credential(
        row.secret_id,
        client.name,
        frozenset(client.services),
        purposes_in(words) & frozenset(client.purposes),
        words & frozenset(client.scopes),
        requests_per_s_of(client),
    )


def requests_per_s_of(client: ApiClient) -> int:
    """How often a client may ask."""
    return client.requests_per_s or settings().client_requests_per_s


def _of_late() -> Q:
    recent = datetime.now(UTC) - REMEMBERED
    return (Q(revoked_at=None) | Q(revoked_at__gt=recent)) & Q(expires_at__gt=recent)


def _entry(issued: ApiKey | ClientSecret, bound: ApiKey | ApiClient) -> CacheEntry:
    """``bound`` to services, purposes and scopes: a key itself, a secret's client."""
    if issued.revoked_at:
        return CacheEntry(FOR_EVER_MS, Rejection.REVOKED)
    if not issued.client.active:
        return CacheEntry(FOR_EVER_MS, Rejection.INACTIVE)
    rate = requests_per_s_of(issued.client)
    may = frozenset(bound.services), frozenset(bound.purposes), frozenset(bound.scopes)
    return CacheEntry(issued.expires_at.timestamp() * 1000, Credential(issued.key_id, issued.client.name, *may, rate))


credential_cache = CredentialCache()
