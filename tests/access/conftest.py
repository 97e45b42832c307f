"""A client, the time, and an empty credential cache."""

import time
from collections.abc import Iterator

import pytest

from featurestore.access.credential_cache import credential_cache
from featurestore.access.models import ApiClient
from featurestore.access.selectors import invalidate_credentials
from featurestore.access.services import create_client


@pytest.fixture(autouse=True)
def empty_credential_cache(db: None) -> Iterator[None]:
    invalidate_credentials()
    credential_cache._used.clear()
    yield
    invalidate_credentials()


@pytest.fixture
def bot() -> ApiClient:
    return create_client("support-bot", owner="chat team", actor="test")


@pytest.fixture
def now_ms() -> int:
    return time.time_ns() // 1_000_000
