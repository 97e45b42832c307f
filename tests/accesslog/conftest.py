"""Access records on a real control Redis and on databases that other connections see."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tests.accesslog.harness import AheadStream, Control
from tests.kit.databases import database

__all__ = ["database"]


@pytest.fixture(autouse=True)
def no_keys_of_other_tests() -> None:
    """Instead of the folder's: no key is used here."""


@pytest.fixture
def control(redis_server: str, database: str) -> Iterator[Control]:
    """An empty control Redis, with a database beside it."""
    with Redis.from_url(redis_server) as redis:
        redis.flushall()
        made = Control(AheadStream(redis_server, 5), redis)
        yield made
        made.stream.close()
