"""Recent events: digests of those that a client wrote within minutes, so that a repeat is answered as one.

They are for the answer alone. Every repeat is sent, too, and the streams' deduplication window decides what counts.
The control Redis holds them, for all processes; without it a repeat is answered as accepted.
"""

import time
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b

import structlog

from featurestore.config import settings
from featurestore.store.protocol import StoreUnavailable
from featurestore.store.server import Server, complete

WINDOW_S = 600
"""A repeat is answered as one for this time at least, and at most twice as long."""
MOST = 20_000
"""Of a client in a window: further events are not remembered."""
TIMEOUT_S, RETRY_S = 0.02, 1.0

Identity = tuple[str, str, int]
log = structlog.get_logger(__name__)


class RecentEvents:
    """The recent events of all processes. Safe to share among threads."""

    def __init__(self, control: Server) -> None:
        self._control = control
        self._retry_at_s = 0.0  # on the monotonic clock

    def repeats(self, client: str, events: Sequence[Identity], now_ms: int) -> list[bool]:
        """Whether each event has been written before: within this call, or by an earlier one."""
        digests = [digest_of(event) for event in events]
        replies = self._request([("SMISMEMBER", key, *digests) for key in keys_of(client, now_ms)])
        first = {event: i for i, event in reversed(list(enumerate(events)))}
        return [first[event] < i or any(reply[i] for reply in replies) for i, event in enumerate(events)]

    def add(self, client: str, events: Sequence[Identity], now_ms: int) -> None:
        """Remember events that Kafka has acknowledged."""
        key = keys_of(client, now_ms)[0]
        script = (
            "if redis.call('SCARD', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SADD', KEYS[1], unpack(ARGV, 3)) "
            "redis.call('EXPIRE', KEYS[1], ARGV[2]) end return {1}"
        )
        self._request([("EVAL", script, 1, key, MOST, 2 * WINDOW_S, *map(digest_of, events))])

    def _request(self, commands: Sequence[tuple[str | int | bytes, ...]]) -> list[list[int]]:
        """The replies; none while the control Redis is unavailable."""
        if time.monotonic() < self._retry_at_s:
            return []
        try:
            _, replies = complete(self._control.request(commands, time.monotonic() + TIMEOUT_S))
        except StoreUnavailable as error:
            return self._unknown(str(error))
        if wrong := [reply for reply in replies if not isinstance(reply, list)]:
            return self._unknown(str(wrong[0]))  # an error reply: a user without the rights, a full server
        return replies

    def _unknown(self, reason: str) -> list[list[int]]:
        self._retry_at_s = time.monotonic() + RETRY_S
        log.warning("repeated events are answered as accepted", reason=reason)
        return []


def keys_of(client: str, now_ms: int) -> list[str]:
    """The keys of this window and the one before."""
    window = now_ms // (WINDOW_S * 1000)
    return [f"recent-events:{client}:{number}" for number in (window, window - 1)]


def digest_of(event: Identity) -> bytes:
    """64 bits that name an event."""
    return blake2b(repr(event).encode(), digest_size=8).digest()


@cache
def recent_events() -> RecentEvents:
    """The recent events, as this process reads and writes them."""
    return RecentEvents(Server(settings().control_url))
