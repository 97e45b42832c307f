"""The primary that Redis Sentinels name, asked at each connection, so that a fail-over needs no new setting.

A Sentinel may answer late, or name a primary that is none any more. So the server that is connected to must say that
it is a primary; and whether a reader may believe it, the vouch key decides, as of every store.
"""

import time

from featurestore.servers.redis_url import Host, RedisUrl
from featurestore.store.connection import Connection
from featurestore.store.protocol import StoreUnavailable


def connect_to_primary(url: RedisUrl, deadline: float) -> Connection:
    """A connection to the primary that the first Sentinel that answers names. Raises StoreUnavailable."""
    host = _named_primary(url, deadline)
    connection = Connection(url.server_at(host), _remaining_ms(deadline))
    ((role, *_),) = connection.run([("ROLE",)], deadline)
    if role != b"master":
        connection.close()
        raise StoreUnavailable(f"Sentinels name {host[0]}:{host[1]} as the primary of {url.service}, and it is none")
    return connection


def _named_primary(url: RedisUrl, deadline: float) -> Host:
    """The address of the primary. Each Sentinel has its share of the time."""
    reason = StoreUnavailable("no Sentinel was asked in time")
    for i, host in enumerate(url.hosts):
        now_s = time.monotonic()
        own_deadline = now_s + (deadline - now_s) / (len(url.hosts) - i + 1)  # the last share is the primary's
        try:
            sentinel = Connection(url.sentinel_at(host), _remaining_ms(own_deadline))
        except StoreUnavailable as error:
            reason = StoreUnavailable(f"Sentinel {host[0]}:{host[1]}: {error}")
            continue
        try:
            (named,) = sentinel.run([("SENTINEL", "GET-MASTER-ADDR-BY-NAME", url.service)], own_deadline)
        except StoreUnavailable as error:
            reason = StoreUnavailable(f"Sentinel {host[0]}:{host[1]}: {error}")
            continue
        finally:
            sentinel.close()
        if isinstance(named, list):
            name, port = named
            return name.decode(), int(port)
        reason = StoreUnavailable(f"Sentinel {host[0]}:{host[1]} knows no primary {url.service}: {named or 'none'}")
    raise reason


def _remaining_ms(deadline: float) -> int:
    return max(int((deadline - time.monotonic()) * 1000), 1)
