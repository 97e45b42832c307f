"""Cache of credentials in a process: at most CACHED_S seconds old, and emptied when an invalidation arrives.

- Keys and secrets are read all at once, so that a request costs no query, and a wrong key takes the same path as a
  right one.
- A token is read when it is first presented, because another process may have issued it a moment ago. Tokens in
  use are re-read together. The database is asked only about tokens that we signed (``is_signed``), once a snapshot
  each: a made-up text costs no query.
- While the database is unavailable, one thread tries it every WAIT_S, and the others fail at once.

Permissions of subjects are not cached: they are read with the values.
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
from featurestore.access.keys import Prefix, digest_of, expiry_ms, is_signed, key_id_of, readable_part
from featurestore.access.models import ApiClient, ApiKey, ClientSecret
from featurestore.access.scopes import purposes_in
from featurestore.config import settings

CACHED_S = 2.0
WAIT_S = 0.25
ENDED_KEPT = timedelta(days=30)
"""How long a revoked or expired key is logged as such; after that it is logged as wrong."""
LONG_AGO_S = float("-inf")
NEVER_MS = float("inf")


class Rejection(StrEnum):
    """Reason why a credential was rejected. For the log: the caller gets the same answer for each."""

    MISSING = "missing"
    WRONG = "wrong"
    EXPIRED = "expired"
    REVOKED = "revoked"
    INACTIVE = "inactive_client"


class Credential(NamedTuple):
    """Authenticated client and what it may do. For a token, ``key_id`` is the id of its secret."""

    key_id: str
    client: str
    services: frozenset[str]
    purposes: frozenset[str]
    scopes: frozenset[str]
    requests_per_s: int


class CacheEntry(NamedTuple):
    """Cached result of a look-up: a credential or a rejection, valid until a time."""

    expires_ms: float
    result: Credential | Rejection


class UsedToken(NamedTuple):
    """Secret for which a token was issued, and the token's expiry."""

    secret_id: str
    expires_ms: float


class Snapshot(NamedTuple):
    """Credentials by digest. ``read_s`` is the monotonic time just before they were read.

    ``keys_and_tokens`` authenticate requests; a token is added when it is first presented. ``secrets`` only get tokens.
    """

    read_s: float
    keys_and_tokens: dict[str, CacheEntry]
    secrets: Mapping[str, CacheEntry]


UNKNOWN = CacheEntry(NEVER_MS, Rejection.WRONG)


class CredentialCache:
    """Credentials cached by this process. Safe to share among threads."""

    def __init__(self) -> None:
        self.signing_key = hmac.digest(settings().secret_key.encode(), b"signature of access tokens", "sha256")
        self._reading = threading.Lock()
        self._snapshot = Snapshot(LONG_AGO_S, {}, {})
        self._failed_s = LONG_AGO_S  # on the monotonic clock
        self._used: dict[str, UsedToken] = {}  # tokens that were presented, by digest
        self._listener: InvalidationListener | None = None

    def key_or_token(self, text: str, now_ms: int) -> CacheEntry:
        """The entry of an API key or access token, at most CACHED_S old. Raises KeysUnavailable."""
        snapshot, digest = self._current(), digest_of(text)
        return snapshot.keys_and_tokens.get(digest) or self._token(snapshot, text, digest, now_ms)

    def secret(self, text: str) -> CacheEntry:
        """The entry of a client secret, at most CACHED_S old. Raises KeysUnavailable."""
        return self._current().secrets.get(digest_of(text), UNKNOWN)

    def invalidate(self) -> None:
        """Empty the cache. Waits for a thread that is reading, so that it can't store what it read before a change."""
        with self._reading:
            self._snapshot, self._failed_s = Snapshot(LONG_AGO_S, {}, {}), LONG_AGO_S

    def _current(self) -> Snapshot:
        snapshot = self._snapshot  # read once: another thread may replace it meanwhile
        if time.monotonic() - snapshot.read_s < CACHED_S:
            return snapshot
        with self._database():
            now_s = time.monotonic()
            if now_s - self._snapshot.read_s >= CACHED_S:
                self._listen()
                self._snapshot = Snapshot(now_s, read_keys() | self._used_tokens(), read_secrets())
            return self._snapshot

    def _token(self, snapshot: Snapshot, text: str, digest: str, now_ms: int) -> CacheEntry:
        if not text.startswith(Prefix.TOKEN) or not is_signed(text, self.signing_key):
            return UNKNOWN
        expires_ms = expiry_ms(text)
        if now_ms >= expires_ms:
            return CacheEntry(NEVER_MS, Rejection.EXPIRED)
        with self._database():
            # A revoked token is stored too: repeated, it costs one query a snapshot. If the cache is emptied meanwhile,
            # the entry is lost with the old snapshot.
            used = UsedToken(key_id_of(text), expires_ms)
            entry = CacheEntry(expires_ms, read_tokens({digest: used.secret_id})[digest])
            snapshot.keys_and_tokens[digest], self._used[digest] = entry, used
        return entry

    def _used_tokens(self) -> dict[str, CacheEntry]:
        """The tokens that this process has read and that have not expired, in one query."""
        now_ms = time.time_ns() // 1_000_000
        self._used = {digest: used for digest, used in self._used.items() if now_ms < used.expires_ms}
        results = read_tokens({digest: used.secret_id for digest, used in self._used.items()})
        return {digest: CacheEntry(self._used[digest].expires_ms, result) for digest, result in results.items()}

    @contextmanager
    def _database(self) -> Iterator[None]:
        """The database, for one thread at a time; while it is unavailable, one every WAIT_S. Raises KeysUnavailable."""
        if not self._reading.acquire(timeout=WAIT_S):
            raise KeysUnavailable("The database is slow to answer a query for the keys.")
        try:
            if time.monotonic() - self._failed_s < WAIT_S:
                raise KeysUnavailable("The database did not answer a query for the keys.")
            with request_connection():
                yield
        except DatabaseError as error:
            self._failed_s = time.monotonic()
            raise KeysUnavailable("The database did not answer a query for the keys.") from error
        finally:
            self._reading.release()

    def _listen(self) -> None:
        if self._listener is None or not self._listener.is_alive():  # a forked child has no threads
            self._listener = InvalidationListener(settings().control_url, self.invalidate)
            self._listener.start()


@contextmanager
def request_connection() -> Iterator[None]:
    """This thread's database connection, treated as Django does around a request; the fast path is outside of one.

    A broken connection is replaced. One that is opened here is closed here: the server's threads come and go, and a
    thread that never queries again must hold no connection.
    """
    connection.close_if_unusable_or_obsolete()
    opened = connection.connection is None
    try:
        yield
    finally:
        if opened:
            connection.close()


def read_keys() -> dict[str, CacheEntry]:
    """Every key that works or ended within ENDED_KEPT, by digest."""
    keys = ApiKey.objects.select_related("client").filter(_recent())
    return {key.digest: _entry(key, key) for key in keys}


def read_secrets() -> dict[str, CacheEntry]:
    """Every client secret that works or ended within ENDED_KEPT, by digest, with what its client may do."""
    found = ClientSecret.objects.select_related("client").filter(_recent())
    return {secret.digest: _entry(secret, secret.client) for secret in found}


def read_tokens(wanted: Mapping[str, str]) -> dict[str, Credential | Rejection]:
    """What tokens may do, by digest: what each was issued for, as far as its client still may.

    ``wanted`` maps a token's digest to its secret's id. Without a row the token was revoked: by itself, with its
    secret, or with its client.
    """
    found: dict[str, Credential | Rejection] = dict.fromkeys(wanted, Rejection.REVOKED)
    if wanted:
        rows = (
            AccessToken.objects.select_related("application")
            .filter(token_checksum__in=wanted, application__secrets__revoked_at=None)
            .annotate(secret_id=F("application__secrets__key_id"))
        )
        for row in rows:
            if row.secret_id == wanted[row.token_checksum] and row.token == readable_part(Prefix.TOKEN, row.secret_id):
                found[row.token_checksum] = _token_result(row)
    return found


def _token_result(row: Any) -> Credential | Rejection:
    client: ApiClient = row.application
    if not client.active:
        return Rejection.INACTIVE
    tokens = frozenset(row.scope.split())
    return Credential(
        row.secret_id,
        client.name,
        frozenset(client.services),
        purposes_in(tokens) & frozenset(client.purposes),
        tokens & frozenset(client.scopes),
        requests_per_s_of(client),
    )


def requests_per_s_of(client: ApiClient) -> int:
    """The rate limit of a client: its own, or the setting's."""
    return client.requests_per_s or settings().client_requests_per_s


def _recent() -> Q:
    recent = datetime.now(UTC) - ENDED_KEPT
    return (Q(revoked_at=None) | Q(revoked_at__gt=recent)) & Q(expires_at__gt=recent)


def _entry(issued: ApiKey | ClientSecret, bound: ApiKey | ApiClient) -> CacheEntry:
    """``bound`` has the services, purposes and scopes: of a key it is the key, of a secret its client."""
    if issued.revoked_at:
        return CacheEntry(NEVER_MS, Rejection.REVOKED)
    if not issued.client.active:
        return CacheEntry(NEVER_MS, Rejection.INACTIVE)
    rate = requests_per_s_of(issued.client)
    may = frozenset(bound.services), frozenset(bound.purposes), frozenset(bound.scopes)
    return CacheEntry(issued.expires_at.timestamp() * 1000, Credential(issued.key_id, issued.client.name, *may, rate))


credential_cache = CredentialCache()
