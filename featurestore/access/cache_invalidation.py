"""Invalidation messages, by pub/sub of the control Redis, to every process that caches credentials.

A process misses the messages that are sent while it is not connected, so it empties its cache whenever it connects.
While the control Redis is unavailable, cached credentials are at most credential_cache.CACHED_S old.
"""

import threading
from collections.abc import Callable
from functools import cache

import structlog
from redis import Redis, RedisError

from featurestore.config import settings
from featurestore.servers.redis_clients import redis_client

CHANNEL = "rapport:access"
TIMEOUT_S = 0.5
RETRY_S = 1.0
log = structlog.get_logger(__name__)


@cache
def control_redis() -> Redis:
    """The control Redis, with a short time-out: a request waits for the message to be sent."""
    return redis_client(settings().control_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)


def publish_invalidation() -> None:
    """Send every process the message. If the control Redis is unavailable, log that the change is noticed later."""
    try:
        control_redis().publish(CHANNEL, b"")
    except RedisError as error:
        log.warning(
            "cache invalidation not published: processes read the change within 2 s", error=type(error).__name__
        )


class InvalidationListener(threading.Thread):
    """Thread that calls ``on_invalidation`` at every message, and at every connecting. Ends with the process.

    After ``stop`` it ends at the next message, or when its connection does.
    """

    def __init__(self, control_url: str, on_invalidation: Callable[[], None]) -> None:
        super().__init__(name="cache-invalidation", daemon=True)
        self._control_url, self._on_invalidation = control_url, on_invalidation
        self._outage_logged = False
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except (RedisError, OSError) as error:
                if not self._outage_logged:
                    log.warning(
                        "cache invalidations not received: processes read changes within 2 s",
                        error=type(error).__name__,
                    )
                self._outage_logged = True
            self._stopped.wait(RETRY_S)

    def _listen(self) -> None:
        with (
            redis_client(self._control_url, socket_connect_timeout=TIMEOUT_S, socket_keepalive=True) as redis,
            redis.pubsub() as pubsub,
        ):
            pubsub.subscribe(CHANNEL)
            for _ in pubsub.listen():  # the first message confirms the subscription
                if self._stopped.is_set():
                    return
                self._outage_logged = False
                self._on_invalidation()
