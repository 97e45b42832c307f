"""Rate limits: how many requests a client may make in a window, counted once for all processes.

The count lies in the control Redis. A process leases it in blocks, a fiftieth of the window's quota and less towards
its end, so that nearly all requests pay no round trip. What all processes admit together never exceeds the quota; what
one has leased and does not use is lost with the window. While the control Redis is away each process counts for itself.
"""

import threading
import time
from functools import cache
from typing import NamedTuple

import structlog

from featurestore.config import settings
from featurestore.store.protocol import StoreUnavailable
from featurestore.store.server import Server, complete

WINDOW_S = 10
BLOCKS, LAST = 50, 8  # a lease takes a fiftieth of the quota, and no more than an eighth of what is left
TIMEOUT_S = 0.02  # a request in a conversation waits for its answer
RETRY_S = 1.0
LEASE = """
local left = tonumber(ARGV[1]) - tonumber(redis.call('GET', KEYS[1]) or 0)
local granted = math.min(tonumber(ARGV[2]), math.max(left, 0))
if granted > 0 then
  redis.call('INCRBY', KEYS[1], granted)
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return {granted, left - granted}
"""

log = structlog.get_logger(__name__)


class Count(NamedTuple):
    """What a client has of a window: whether this request is within it, and what is left for how long."""

    admitted: bool
    quota: int
    left: int
    reset_s: int


class Lease:
    """What one client may still take of the window without asking."""

    __slots__ = ("held", "left", "lock", "window")

    def __init__(self) -> None:
        self.lock, self.window, self.held, self.left = threading.Lock(), -1, 0, 0


class RateLimiter:
    """The limits as this process keeps them. Shared among threads."""

    def __init__(self, control: Server) -> None:
        self._control = control
        self._leases: dict[str, Lease] = {}
        self._alone_until_s = 0.0  # on the monotonic clock

    def take(self, client: str, quota: int, cost: int, now_ms: int) -> Count:
        """Take ``cost`` of a client's quota of the window that ``now_ms`` is in, all of it or nothing."""
        window, into_ms = divmod(now_ms, WINDOW_S * 1000)
        lease = self._leases.get(client) or self._leases.setdefault(client, Lease())
        with lease.lock:
            if lease.window != window:
                lease.window, lease.held, lease.left = window, 0, quota
            if lease.held < cost:
                self._lease(lease, client, quota, cost)
            admitted = lease.held >= cost
            if admitted:
                lease.held -= cost
            return Count(admitted, quota, lease.held + lease.left, WINDOW_S - into_ms // 1000)

    def _lease(self, lease: Lease, client: str, quota: int, cost: int) -> None:
        """Ask for a block that covers a request, at least."""
        wanted = max(cost - lease.held, min(quota // BLOCKS, lease.left // LAST))
        if time.monotonic() >= self._alone_until_s:
            ask = ("EVAL", LEASE, 1, f"limit:{client}:{lease.window}", quota, wanted, 2 * WINDOW_S)
            try:
                _, ((granted, left),) = complete(self._control.ask([ask], time.monotonic() + TIMEOUT_S))
            except (StoreUnavailable, TypeError, ValueError) as error:  # an error reply is no pair
                self._alone_until_s = time.monotonic() + RETRY_S
                log.warning("rate limits are counted by this process alone", reason=str(error))
            else:
                lease.held, lease.left = lease.held + granted, left
                return
        granted = min(wanted, lease.left)
        lease.held, lease.left = lease.held + granted, lease.left - granted


@cache
def rate_limiter() -> RateLimiter:
    """Those of this process."""
    return RateLimiter(Server(settings().control_url))
