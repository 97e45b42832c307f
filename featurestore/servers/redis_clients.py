"""redis-py's clients of a Redis at a URL, one for threads and one for asyncio."""

from typing import Any

from redis import Redis
from redis import asyncio as redis_asyncio
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.sentinel import Sentinel

from featurestore.servers.redis_url import RedisUrl, parse_redis_url


def redis_client(url: str, **options: Any) -> Redis:
    """A client of the server at a URL, or of the primary that its Sentinels name at each connection."""
    parsed = parse_redis_url(url)
    if parsed.kind == "sentinel":
        sentinel: Any = Sentinel(list(parsed.hosts), sentinel_kwargs=_of_sentinel(parsed, options), **tls_of(parsed))
        client: Redis = sentinel.master_for(parsed.service, **_credentials(parsed), **options)
        return client
    return Redis(**_address(parsed), **_credentials(parsed), **tls_of(parsed), **options)


def async_client(parsed: RedisUrl, **options: Any) -> "redis_asyncio.Redis":
    """As ``redis_client``, for asyncio."""
    if parsed.kind == "sentinel":
        sentinel: Any = AsyncSentinel(
            list(parsed.hosts), sentinel_kwargs=_of_sentinel(parsed, options), **tls_of(parsed)
        )
        client: redis_asyncio.Redis = sentinel.master_for(parsed.service, **_credentials(parsed), **options)
        return client
    return redis_asyncio.Redis(**_address(parsed), **_credentials(parsed), **tls_of(parsed), **options)


def tls_of(parsed: RedisUrl) -> dict[str, Any]:
    """redis-py's arguments of TLS, which are Celery's too; empty for plaintext."""
    if parsed.tls is None:
        return {}
    files = {
        "ssl_ca_certs": parsed.tls.ca_file,
        "ssl_certfile": parsed.tls.certificate_file,
        "ssl_keyfile": parsed.tls.key_file,
    }
    given = {name: file for name, file in files.items() if file}
    return {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True, **given}


def sentinel_arguments(parsed: RedisUrl) -> dict[str, Any]:
    """redis-py's arguments of the connections to Sentinels. Their TLS is not that of the servers by itself."""
    credentials = {"username": parsed.sentinel_username, "password": parsed.sentinel_password}
    return {name: value for name, value in credentials.items() if value} | tls_of(parsed)


def _of_sentinel(parsed: RedisUrl, options: dict[str, Any]) -> dict[str, Any]:
    timeouts = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout") if name in options}
    return sentinel_arguments(parsed) | timeouts


def _address(parsed: RedisUrl) -> dict[str, Any]:
    if parsed.kind == "socket":
        return {"unix_socket_path": parsed.path}
    host, port = parsed.hosts[0]
    return {"host": host, "port": port}


def _credentials(parsed: RedisUrl) -> dict[str, Any]:
    return {"username": parsed.username or None, "password": parsed.password or None, "db": parsed.database}
