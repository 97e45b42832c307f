"""redis-py's clients of a Redis at a URL, one for threads and one for asyncio."""

from typing import Any

from redis import Redis, asyncio, connection, sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from featurestore.servers.redis_url import RedisUrl, parse_redis_url

SENTINEL_TIMEOUT_S = 0.5


def redis_client(url: str, **options: Any) -> Redis:
    """A client of the server at a URL, or of the primary that its Sentinels name at each connection.

    ``options`` are redis-py's of a connection; it has no default of them, such as a time-out.
    """
    parsed = parse_redis_url(url)
    options |= _credentials(parsed)
    if parsed.kind == "sentinel":
        asked: Any = sentinel.Sentinel(parsed.hosts, sentinel_kwargs=sentinel_arguments(parsed), **tls_of(parsed))
        client: Redis = asked.master_for(parsed.service, **options)
        return client
    options |= _address(parsed) | {name: value for name, value in tls_of(parsed).items() if name != "ssl"}
    return Redis.from_pool(connection.ConnectionPool(getattr(connection, _class_of(parsed)), **options))


def async_client(parsed: RedisUrl, **options: Any) -> asyncio.Redis:
    """As ``redis_client``, for asyncio."""
    options |= _credentials(parsed)
    if parsed.kind == "sentinel":
        arguments = sentinel_arguments(parsed) | {"retry": AsyncRetry(NoBackoff(), 0)}
        asked: Any = asyncio.Sentinel(parsed.hosts, sentinel_kwargs=arguments, **tls_of(parsed))
        client: asyncio.Redis = asked.master_for(parsed.service, **options)
        return client
    options |= _address(parsed) | {name: value for name, value in tls_of(parsed).items() if name != "ssl"}
    return asyncio.Redis.from_pool(asyncio.ConnectionPool(getattr(asyncio, _class_of(parsed)), **options))


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
    """redis-py's arguments of the connections to Sentinels, also those that Celery makes.

    redis-py takes neither the servers' TLS for them nor a time-out, and retries a dead one for five seconds before it
    asks the next.
    """
    credentials = {"username": parsed.sentinel_username, "password": parsed.sentinel_password}
    timeouts = {"socket_timeout": SENTINEL_TIMEOUT_S, "socket_connect_timeout": SENTINEL_TIMEOUT_S}
    given = {name: value for name, value in credentials.items() if value}
    return given | timeouts | tls_of(parsed) | {"retry": Retry(NoBackoff(), 0)}


def _class_of(parsed: RedisUrl) -> str:
    """The name of the class of connections, in both of redis-py's modules."""
    if parsed.kind == "socket":
        return "UnixDomainSocketConnection"
    return "SSLConnection" if parsed.tls else "Connection"


def _address(parsed: RedisUrl) -> dict[str, Any]:
    if parsed.kind == "socket":
        return {"path": parsed.path}
    host, port = parsed.hosts[0]
    return {"host": host, "port": port}


def _credentials(parsed: RedisUrl) -> dict[str, Any]:
    return {"username": parsed.username or None, "password": parsed.password or None, "db": parsed.database}
