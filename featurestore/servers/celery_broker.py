"""Celery's names of the control Redis: it has its own schemes for sockets and Sentinels, and options of TLS apart."""

from typing import Any, NamedTuple
from urllib.parse import quote

from featurestore.servers.redis_clients import sentinel_arguments, tls_of
from featurestore.servers.redis_url import RedisUrl, parse_redis_url


class CeleryBroker(NamedTuple):
    """Celery's ``broker_url``, further ``broker_transport_options``, and ``broker_use_ssl``."""

    url: str
    transport_options: dict[str, Any]
    use_ssl: dict[str, Any] | None


def celery_broker(url: str) -> CeleryBroker:
    """The broker at a URL of ``featurestore.servers.redis_url``; not of a cluster, which Celery can't use."""
    parsed = parse_redis_url(url)
    tls = {name: value for name, value in tls_of(parsed).items() if name != "ssl"} or None
    user = _user(parsed)
    if parsed.kind == "socket":
        return CeleryBroker(f"redis+socket://{user}{quote(parsed.path)}?virtual_host={parsed.database}", {}, None)
    if parsed.kind == "sentinel":
        options = {"master_name": parsed.service, "sentinel_kwargs": sentinel_arguments(parsed)}
        named = (f"sentinel://{user}{_address(host)}/{parsed.database}" for host in parsed.hosts)
        return CeleryBroker(";".join(named), options, tls)
    scheme = "rediss" if tls else "redis"
    return CeleryBroker(f"{scheme}://{user}{_address(parsed.hosts[0])}/{parsed.database}", {}, tls)


def _user(parsed: RedisUrl) -> str:
    if not parsed.username and not parsed.password:
        return ""
    return f"{quote(parsed.username, safe='')}:{quote(parsed.password, safe='')}@"


def _address(host: tuple[str, int]) -> str:
    name, port = host
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
