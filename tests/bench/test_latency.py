"""The listener is notified of the write that an event led to, and of no other."""

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


def test_write_before_the_event_was_sent_is_ignored(port: int) -> None:
    sent = [0.0, 0.0]
    with Redis(port=port) as redis, listening(port, {key: (sent, i) for key, i in KEYS.items()}) as listener:
        redis.set("a", 1)
        listener.listen(timeout_s=0.2)
        assert listener.received == {}
        sent[:] = [time.monotonic()] * 2
        redis.hset("b", "field", 1)
        redis.set("a", 2)
        listener.listen(timeout_s=10)
        assert listener.received.keys() == KEYS.keys()
        assert sent[0] < listener.received[b"b"] <= listener.received[b"a"] < time.monotonic()


def test_writes_to_other_keys_are_ignored(port: int) -> None:
    with Redis(port=port) as redis, listening(port, {b"a": ([1.0], 0)}) as listener:
        redis.set("c", 1)
        listener.listen(timeout_s=0.2)
        assert listener.received == {}


@contextmanager
def endless_writes(port: int) -> Iterator[None]:
    with Redis(port=port) as redis, repeating(lambda: redis.set("a", 1), 0.01):
        yield


def test_measurement_waits_until_nothing_is_written(port: int) -> None:
    with Redis(port=port) as redis, listening(port, {b"a": ([0.0], 0)}) as listener:
        redis.set("a", 1)
        listener.wait_for_quiet(timeout_s=10, quiet_s=0.05)
        with endless_writes(port), pytest.raises(AssertionError, match="written without end"):
            listener.wait_for_quiet(timeout_s=0.5, quiet_s=0.4)


def test_notifications_are_off_afterwards(port: int) -> None:
    with listening(port, {}):
        pass
    assert Redis(port=port).config_get("notify-keyspace-events") == {"notify-keyspace-events": ""}
