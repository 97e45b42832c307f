"""A word in the control Redis for every process that keeps keys: what you know has changed.

Messages are lost while a process is not connected, so connecting is itself such a word. While the control Redis is
away, what a process keeps is as old as credential_cache.CACHED_S at most.
"""

import threading
from collections.abc import Callable
from functools import cache

import structlog
from redis import Redis, RedisError

from featurestore.config import settings

CHANNEL = "rapport:access"
TIMEOUT_S = 0.5
RETRY_S = 1.0
log = structlog.get_logger(__name__)


@cache
def control() -> Redis:
    """The control Redis, for words that nobody may wait for long."""
    return Redis.from_url(settings().control_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)


def announce() -> None:
    """Tell every process. One that can't be told learns of it by itself, later; the log says so."""
    try:
        control().publish(CHANNEL, b"")
    except RedisError as error:
        log.warning("a change of access was not announced: processes learn of it in 2 s", error=type(error).__name__)


class Listener(threading.Thread):
    """Calls ``changed`` at every word, and whenever words may have been missed. Ends with the process.

    Stopped earlier, it ends when its connection does or at the next word.
    """

    def __init__(self, control_url: str, changed: Callable[[], None]) -> None:
        super().__init__(name="changes-of-access", daemon=True)
        self._control_url, self._changed = control_url, changed
        self._told = False  # that the control Redis is away
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except (RedisError, OSError) as error:
                if not self._told:
                    log.warning("changes of access are heard of after 2 s", error=type(error).__name__)
                self._told = True
            self._stopped.wait(RETRY_S)

    def _listen(self) -> None:
        with (
            Redis.from_url(self._control_url, socket_connect_timeout=TIMEOUT_S, socket_keepalive=True) as redis,
            redis.pubsub() as words,
        ):
            words.subscribe(CHANNEL)
            for _ in words.listen():  # the first is that we are subscribed
                if self._stopped.is_set():
                    return
                self._told = False
                self._changed()
