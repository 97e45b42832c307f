"""The store of this installation."""

from functools import cache

from featurestore.config import settings
from featurestore.online.redis import RedisStore
from featurestore.online.store import OnlineStore


@cache
def store() -> OnlineStore:
    """The process's store, as the settings name it."""
    return RedisStore(settings().store_url, settings().store_timeout_ms)
