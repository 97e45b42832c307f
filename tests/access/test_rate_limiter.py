"""Rate limiter: processes and threads together never admit more than a window's quota."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from featurestore.access import rate_limiter as module
from featurestore.access.rate_limiter import LEASES_PER_WINDOW, WINDOW_S, RateLimiter
from featurestore.store.protocol import StoreUnavailable
from featurestore.store.server import Server

NOON_MS = 1_795_348_800_000
WINDOW_MS = WINDOW_S * 1000


class FakeControlRedis:
    """The control Redis with the lease script alone. Counts requests."""

    def __init__(self) -> None:
        self.granted: dict[str, int] = {}
        self.requests = 0
        self.unavailable = False

    def request(self, commands: Any, deadline: float) -> Any:
        ((_, _, _, key, quota, wanted, _),) = commands
        self.requests += 1
        if self.unavailable:
            raise StoreUnavailable("stopped")
        remaining = quota - self.granted.get(key, 0)
        granted = min(wanted, max(remaining, 0))
        self.granted[key] = self.granted.get(key, 0) + granted
        return b"run", [[granted, remaining - granted]]
        yield


@settings(max_examples=60)
@given(
    quota=st.integers(1, 400),
    costs=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), max_size=300),
)
def test_quota_is_never_exceeded_and_what_fits_is_admitted(quota: int, costs: list[tuple[int, int]]) -> None:
    control = FakeControlRedis()
    limiters = [RateLimiter(control) for _ in range(4)]
    admitted = 0
    for index, cost in costs:
        if limiters[index].acquire("bot", quota, cost, NOON_MS).admitted:
            admitted += cost
        else:
            held_by_others = sum(one._leases["bot"].held for one in limiters if "bot" in one._leases)
            assert admitted + cost > quota - held_by_others
    assert admitted <= quota


def test_single_process_gets_the_whole_quota() -> None:
    one = RateLimiter(FakeControlRedis())
    assert sum(one.acquire("bot", 100, 1, NOON_MS).admitted for _ in range(150)) == 100


def test_most_requests_need_no_round_trip() -> None:
    control = FakeControlRedis()
    one = RateLimiter(control)
    for _ in range(10_000):
        one.acquire("bot", 20_000, 1, NOON_MS)
    assert control.requests <= LEASES_PER_WINDOW


def test_result_has_remaining_quota_and_reset_time() -> None:
    one = RateLimiter(FakeControlRedis())
    results = [one.acquire("bot", 3, 1, NOON_MS + 2_500) for _ in range(4)]
    assert [(result.admitted, result.remaining) for result in results] == [(True, 2), (True, 1), (True, 0), (False, 0)]
    assert {result.reset_s for result in results} == {8}


def test_next_window_has_a_full_quota() -> None:
    one = RateLimiter(FakeControlRedis())
    assert one.acquire("bot", 1, 1, NOON_MS).admitted
    assert not one.acquire("bot", 1, 1, NOON_MS + WINDOW_MS - 1).admitted
    assert one.acquire("bot", 1, 1, NOON_MS + WINDOW_MS).admitted


def test_clients_have_separate_quotas() -> None:
    one = RateLimiter(FakeControlRedis())
    assert one.acquire("bot", 1, 1, NOON_MS).admitted
    assert one.acquire("desk", 1, 1, NOON_MS).admitted
    assert not one.acquire("bot", 1, 1, NOON_MS).admitted


def test_process_counts_alone_without_the_control_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now_s[0])
    control = FakeControlRedis()
    control.unavailable = True
    one = RateLimiter(control)
    assert sum(one.acquire("bot", 10, 1, NOON_MS).admitted for _ in range(15)) == 10
    assert control.requests == 1, "it is not retried for a second"
    control.unavailable = False
    now_s[0] += module.RETRY_S
    assert one.acquire("bot", 10, 1, NOON_MS + WINDOW_MS).admitted
    assert control.requests == 2


def test_threads_and_servers_share_one_quota(redis_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 10)  # a busy machine must not time out
    limiters = [RateLimiter(Server(redis_server)) for _ in range(4)]
    with ThreadPoolExecutor(8) as threads:
        admissions = threads.map(lambda i: limiters[i % 4].acquire("shared", 500, 1, NOON_MS).admitted, range(1_000))
        admitted = sum(admissions)
    held = sum(one._leases["shared"].held for one in limiters)
    assert admitted + held == 500
    assert held <= 4 * 500 // LEASES_PER_WINDOW
    with Redis.from_url(redis_server) as redis:
        (key,) = redis.keys("limit:shared:*")
        assert 0 < redis.ttl(key) <= 2 * WINDOW_S


def test_error_reply_counts_as_an_absent_control_redis(redis_server: str) -> None:
    with Redis.from_url(redis_server) as redis:
        redis.lpush(f"limit:odd:{NOON_MS // WINDOW_MS}", "no number")
    one = RateLimiter(Server(redis_server))
    assert one.acquire("odd", 1, 1, NOON_MS).admitted
    assert not one.acquire("odd", 1, 1, NOON_MS).admitted


def test_leases_of_many_addresses_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LEASES", 10)
    limiter = RateLimiter(FakeControlRedis())  # type: ignore[arg-type]
    for number in range(100):
        assert limiter.acquire(f"address:{number}", 5, 1, number * WINDOW_S * 1000).admitted
        assert len(limiter._leases) <= 12
    for number in range(100):
        assert limiter.acquire(f"other:{number}", 5, 1, 0).admitted
        assert len(limiter._leases) <= 12
