"""A real control Redis, and databases that other connections see."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.accesslog.harness import ControlRedis, ShiftedClockStream
from tests.kit.databases import database

__all__ = ["database"]


@pytest.fixture
def control(redis_server: str, database: str) -> Iterator[ControlRedis]:
    """An empty control Redis, and a database."""
    with Redis.from_url(redis_server) as redis:
        redis.flushall()
        control = ControlRedis(ShiftedClockStream(redis_server, 5), redis)
        yield control
        control.stream.close()
