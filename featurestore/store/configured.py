"""Store of this installation, as the settings name it."""

from functools import cache

from featurestore.config import settings
from featurestore.servers.redis_url import parse_redis_url
from featurestore.store.cluster import ClusterStore
from featurestore.store.redis import RedisStore


@cache
def store() -> RedisStore | ClusterStore:
    """The store that all threads of this process share."""
    return store_at(settings().store_url, settings().store_timeout_ms)


def store_at(url: str, timeout_ms: int) -> RedisStore | ClusterStore:
    """The store at a URL, of one server or a cluster. No call but a bulk one takes longer than the time-out."""
    is_cluster = parse_redis_url(url).kind == "cluster"
    return ClusterStore(url, timeout_ms) if is_cluster else RedisStore(url, timeout_ms)
