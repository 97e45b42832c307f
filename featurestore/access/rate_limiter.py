"""Rate limiter: requests of a client, or of an address, in a window, counted once for all processes.

The control Redis holds the count. A process leases parts of the window's quota, a fiftieth at a time and less towards
the end, so that nearly all requests need no round trip. All processes together never admit more than the quota. What a
process has leased and does not use is lost with the window. While the control Redis is unavailable, each process counts
alone.

    quota 1,000: a lease is 20. With 80 remaining it is 10, with 8 remaining 1.
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
LEASES_PER_WINDOW, LEASES_PER_REMAINDER = 50, 8
"""A lease takes a fiftieth of the quota, and at most an eighth of what remains."""
TIMEOUT_S = 0.02  # a request in a conversation waits for its answer
RETRY_S = 1.0
MAX_LEASES = 20_000
"""Clients and addresses that a process remembers at most."""
LEASE_SCRIPT = """
local remaining = tonumber(ARGV[1]) - tonumber(redis.call('GET', KEYS[1]) or 0)
local granted = math.min(tonumber(ARGV[2]), math.max(remaining, 0))
if granted > 0 then
  redis.call('INCRBY', KEYS[1], granted)
  redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return {granted, remaining - granted}
"""

log = structlog.get_logger(__name__)


class RateLimitResult(NamedTuple):
    """Whether a request is admitted, and the client's quota, what remains of it and for how long."""

    admitted: bool
    quota: int
    remaining: int
    reset_s: int


class QuotaLease:
    """Requests of one client that this process may admit without a round trip (``held``), in one window."""

    __slots__ = ("held", "lock", "remaining", "window")

    def __init__(self) -> None:
        self.lock, self.window, self.held, self.remaining = threading.Lock(), -1, 0, 0


class RateLimiter:
    """Rate limiter of one process. Safe to share among threads."""

    def __init__(self, control: Server) -> None:
        self._control = control
        self._leases: dict[str, QuotaLease] = {}
        self._retry_at_s = 0.0  # on the monotonic clock

    def acquire(self, client: str, quota: int, cost: int, now_ms: int) -> RateLimitResult:
        """Take ``cost`` from a client's quota for the window of ``now_ms``: all of it or nothing."""
        window, into_ms = divmod(now_ms, WINDOW_S * 1000)
        if len(self._leases) > MAX_LEASES:
            self._drop_leases(window)
        lease = self._leases.get(client) or self._leases.setdefault(client, QuotaLease())
        with lease.lock:
            if lease.window != window:
                lease.window, lease.held, lease.remaining = window, 0, quota
            if lease.held < cost:
                self._lease(lease, client, quota, cost)
            admitted = lease.held >= cost
            if admitted:
                lease.held -= cost
            return RateLimitResult(admitted, quota, lease.held + lease.remaining, WINDOW_S - into_ms // 1000)

    def _drop_leases(self, window: int) -> None:
        """Drop the leases of past windows, which admit nothing more; if all are of this one, drop them, too: their
        parts of the quota are lost, and nobody is admitted beyond it.
        """
        past = [client for client, lease in list(self._leases.items()) if lease.window != window]
        for client in past or list(self._leases):
            self._leases.pop(client, None)

    def _lease(self, lease: QuotaLease, client: str, quota: int, cost: int) -> None:
        """Lease at least what a request costs."""
        wanted = max(cost - lease.held, min(quota // LEASES_PER_WINDOW, lease.remaining // LEASES_PER_REMAINDER))
        if time.monotonic() >= self._retry_at_s:
            command = ("EVAL", LEASE_SCRIPT, 1, f"limit:{client}:{lease.window}", quota, wanted, 2 * WINDOW_S)
            try:
                _, ((granted, remaining),) = complete(self._control.request([command], time.monotonic() + TIMEOUT_S))
            except (StoreUnavailable, TypeError, ValueError) as error:  # an error reply is no pair
                self._retry_at_s = time.monotonic() + RETRY_S
                log.warning("rate limits counted by this process alone", reason=str(error))
            else:
                lease.held, lease.remaining = lease.held + granted, remaining
                return
        granted = min(wanted, lease.remaining)
        lease.held, lease.remaining = lease.held + granted, lease.remaining - granted


@cache
def rate_limiter() -> RateLimiter:
    """The rate limiter of this process."""
    return RateLimiter(Server(settings().control_url))
