"""The listener hears of the write that an event led to, and of no other."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from bench.latency import listening
from devservers.waiting import repeating

KEYS = {b"a": 0, b"b": 1}


@pytest.fixture
def port(redis_server: str) -> int:
    return int(Redis.from_url(redis_server).connection_pool.connection_kwargs["port"])


def test_a_write_before_the_event_was_sent_is_not_its_own(port: int) -> None:
    sent = [0.0, 0.0]
    with Redis(port=port) as redis, listening(port, {key: (sent, i) for key, i in KEYS.items()}) as listener:
        redis.set("a", 1)
        listener.listen(timeout_s=0.2)
        assert listener.heard == {}
        sent[:] = [time.monotonic()] * 2
        redis.hset("b", "field", 1)
        redis.set("a", 2)
        listener.listen(timeout_s=10)
        assert listener.heard.keys() == KEYS.keys()
        assert sent[0] < listener.heard[b"b"] <= listener.heard[b"a"] < time.monotonic()


def test_others_are_not_heard(port: int) -> None:
    with Redis(port=port) as redis, listening(port, {b"a": ([1.0], 0)}) as listener:
        redis.set("c", 1)
        listener.listen(timeout_s=0.2)
        assert listener.heard == {}


@contextmanager
def writing_without_end(port: int) -> Iterator[None]:
    with Redis(port=port) as redis, repeating(lambda: redis.set("a", 1), 0.01):
        yield


def test_a_measurement_begins_when_nothing_is_written_any_more(port: int) -> None:
    with Redis(port=port) as redis, listening(port, {b"a": ([0.0], 0)}) as listener:
        redis.set("a", 1)
        listener.wait_for_quiet(timeout_s=10, quiet_s=0.05)
        with writing_without_end(port), pytest.raises(AssertionError, match="pushed without end"):
            listener.wait_for_quiet(timeout_s=0.5, quiet_s=0.4)


def test_redis_tells_nothing_afterwards(port: int) -> None:
    with listening(port, {}):
        pass
    assert Redis(port=port).config_get("notify-keyspace-events") == {"notify-keyspace-events": ""}
