"""A store that refuses connections, or accepts them and never answers: 503 within the request's timeout."""

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from featurestore.api.handler import feature_handler
from featurestore.store import configured
from featurestore.store.redis import RedisStore
from tests.api.test_features import BATCH_PATH, BATCH_QUERY, FEATURES_PATH, QUERY
from tests.kit.api import Post
from tests.kit.serving_environment import ServingEnvironment

TOLERANCE_S = 5.0  # a busy machine
TICK_MS = 2  # a socket's time-out is counted in whole milliseconds, and may end in the last one
UseStore = Callable[[str], None]


@pytest.fixture
def use_store(environment: ServingEnvironment, monkeypatch: pytest.MonkeyPatch) -> UseStore:
    """Give the API another store."""

    def at(url: str) -> None:
        store = RedisStore(url, 250)
        monkeypatch.setattr(configured, "store", lambda: store)
        feature_handler.cache_clear()

    return at


@pytest.fixture
def silent() -> Iterator[str]:
    """Address of a server that never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def test_closed_port_is_503(post: Post, use_store: UseStore) -> None:
    use_store("redis://127.0.0.1:1/0")
    assert post(FEATURES_PATH, QUERY).status_code == 503


@pytest.mark.parametrize("timeout_ms", [20, 200])
def test_silent_store_is_503_within_the_timeout(post: Post, use_store: UseStore, silent: str, timeout_ms: int) -> None:
    use_store(silent)
    post(FEATURES_PATH, QUERY | {"timeout_ms": timeout_ms})  # the first request of a process also reads the keys
    for path, query in ((FEATURES_PATH, QUERY), (BATCH_PATH, BATCH_QUERY)):
        started_s = time.perf_counter()
        response = post(path, query | {"timeout_ms": timeout_ms})
        assert response.status_code == 503
        took_s = time.perf_counter() - started_s
        assert (timeout_ms - TICK_MS) / 1000 <= took_s < timeout_ms / 1000 + TOLERANCE_S
