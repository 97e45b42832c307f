"""The word that access has changed: heard, heard again after the control Redis was away, and waited for by nobody."""

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


class Ear:
    """A listener and how often it was told. It ends with the server's connection."""

    def __init__(self, server: RedisServer) -> None:
        self.times = 0
        self.listener = InvalidationListener(server.url, self.hear)
        self.listener.start()

    def hear(self) -> None:
        self.times += 1

    def heard(self, times: int) -> None:
        eventually(lambda: self.times >= times, f"heard {times} times", within_s=20)


@pytest.fixture
def ear(server: RedisServer) -> Iterator[Ear]:
    ear = Ear(server)
    yield ear
    ear.listener.stop()


def test_connecting_and_each_announcement_is_a_word(ear: Ear) -> None:
    ear.heard(1)
    for times in (2, 3):
        publish_invalidation()
        ear.heard(times)
    assert ear.times == 3


def test_heard_again_after_the_control_redis_was_away(
    ear: Ear, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    ear.heard(1)
    server.stop()
    publish_invalidation()
    assert "not published" in caplog.text
    eventually(lambda: "invalidations not received" in caplog.text, "the listener says so", within_s=20)
    server.start()
    ear.heard(2)  # what was said meanwhile may have been missed: connecting counts
    publish_invalidation()
    ear.heard(3)


def test_a_subscriber_that_is_thrown_out_comes_back(ear: Ear, server: RedisServer) -> None:
    ear.heard(1)
    with Redis.from_url(server.url) as redis:
        assert redis.client_kill_filter(_type="pubsub") == 1
        ear.heard(2)
        assert redis.pubsub_numsub(CHANNEL)[0][1] == 1
