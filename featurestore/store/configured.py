"""Store of this installation, as the settings name it."""

from functools import cache

from featurestore.config import settings
from featurestore.store.cluster import ClusterStore
from featurestore.store.redis import RedisStore


@cache
def store() -> RedisStore | ClusterStore:
    """The store that all threads of this process share."""
    return store_at(settings().store_url, settings().store_timeout_ms)


def store_at(url: str, timeout_ms: int) -> RedisStore | ClusterStore:
    """The store at a URL, a single server's or a cluster's. No call but a bulk one takes longer than the time-out."""
    return ClusterStore(url, timeout_ms) if "+cluster://" in url else RedisStore(url, timeout_ms)
