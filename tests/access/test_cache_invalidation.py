"""Invalidation messages: received, also after the control Redis was unavailable, and sent without a long wait."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from redis import Redis

from devservers.redis_server import RedisServer
from devservers.waiting import eventually
from featurestore.access import cache_invalidation
from featurestore.access.cache_invalidation import CHANNEL, InvalidationListener, publish_invalidation


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """A control Redis of this test's own, which it may stop."""
    redis = RedisServer(tmp_path)
    redis.start()
    monkeypatch.setattr(cache_invalidation, "settings", lambda: SimpleNamespace(control_url=redis.url))
    monkeypatch.setattr(cache_invalidation, "RETRY_S", 0.05)
    cache_invalidation.control_redis.cache_clear()
    yield redis
    redis.stop()
    cache_invalidation.control_redis.cache_clear()


class CountingListener:
    """A listener that counts its calls. Its thread ends with the server's connection."""

    def __init__(self, server: RedisServer) -> None:
        self.calls = 0
        self.listener = InvalidationListener(server.url, self._count)
        self.listener.start()

    def _count(self) -> None:
        self.calls += 1

    def wait_for(self, calls: int) -> None:
        eventually(lambda: self.calls >= calls, f"it is called {calls} times", within_s=20)


@pytest.fixture
def listener(server: RedisServer) -> Iterator[CountingListener]:
    counting = CountingListener(server)
    yield counting
    counting.listener.stop()


def test_connecting_and_each_message_invalidate(listener: CountingListener) -> None:
    listener.wait_for(1)
    for calls in (2, 3):
        publish_invalidation()
        listener.wait_for(calls)
    assert listener.calls == 3


def test_reconnecting_after_an_outage_invalidates(
    listener: CountingListener, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    listener.wait_for(1)
    server.stop()
    publish_invalidation()
    assert "not published" in caplog.text
    eventually(lambda: "invalidations not received" in caplog.text, "the listener logs the outage", within_s=20)
    server.start()
    listener.wait_for(2)  # at connecting: messages may have been missed
    publish_invalidation()
    listener.wait_for(3)


def test_killed_subscriber_connects_again(listener: CountingListener, server: RedisServer) -> None:
    listener.wait_for(1)
    with Redis.from_url(server.url) as redis:
        assert redis.client_kill_filter(_type="pubsub") == 1
        listener.wait_for(2)
        assert redis.pubsub_numsub(CHANNEL)[0][1] == 1
