"""The API over a store in memory, with an access-log writer of the test's own."""

import pytest

from featurestore.accesslog.writer import AccessLogWriter
from featurestore.api import handler, request_cycle
from tests.kit.access_log import MemoryStream
from tests.kit.api import environment, key, no_cached_credentials, post
from tests.kit.serving_environment import NOW_MS

__all__ = ["environment", "key", "no_cached_credentials", "post"]


@pytest.fixture(autouse=True)
def writer(monkeypatch: pytest.MonkeyPatch) -> AccessLogWriter:
    """The access-log writer of this test, over a stream in memory."""
    made = AccessLogWriter(MemoryStream(), 10**9, lambda: NOW_MS)
    monkeypatch.setattr(made, "start", lambda: None)
    for module in (request_cycle, handler):
        monkeypatch.setattr(module, "access_log_writer", lambda: made)
    return made
