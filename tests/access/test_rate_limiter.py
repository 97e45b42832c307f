"""Rate limits: never more than a window's quota, however many processes and threads ask."""

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


class Control:
    """The control Redis, as far as leases go, counting how often it is asked."""

    def __init__(self) -> None:
        self.taken: dict[str, int] = {}
        self.asked = 0
        self.away = False

    def request(self, commands: Any, deadline: float) -> Any:
        ((_, _, _, key, quota, wanted, _),) = commands
        self.asked += 1
        if self.away:
            raise StoreUnavailable("gone")
        left = quota - self.taken.get(key, 0)
        granted = min(wanted, max(left, 0))
        self.taken[key] = self.taken.get(key, 0) + granted
        return b"run", [[granted, left - granted]]
        yield


def process(control: Any) -> RateLimiter:
    return RateLimiter(control)


@settings(max_examples=60)
@given(
    quota=st.integers(1, 400),
    takes=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), max_size=300),
)
def test_never_more_than_the_quota_and_nothing_refused_that_fits(quota: int, takes: list[tuple[int, int]]) -> None:
    control = Control()
    processes = [process(control) for _ in range(4)]
    admitted = 0
    for who, cost in takes:
        if processes[who].acquire("bot", quota, cost, NOON_MS).admitted:
            admitted += cost
        else:
            held_by_others = sum(p._leases["bot"].held for p in processes if "bot" in p._leases)
            assert admitted + cost > quota - held_by_others
    assert admitted <= quota


def test_one_process_alone_gets_the_whole_quota() -> None:
    one = process(Control())
    assert sum(one.acquire("bot", 100, 1, NOON_MS).admitted for _ in range(150)) == 100


def test_most_requests_pay_no_round_trip() -> None:
    control = Control()
    one = process(control)
    for _ in range(10_000):
        one.acquire("bot", 20_000, 1, NOON_MS)
    assert control.asked <= LEASES_PER_WINDOW


def test_what_is_left_and_until_when_is_told() -> None:
    one = process(Control())
    told = [one.acquire("bot", 3, 1, NOON_MS + 2_500) for _ in range(4)]
    assert [(count.admitted, count.remaining) for count in told] == [(True, 2), (True, 1), (True, 0), (False, 0)]
    assert {count.reset_s for count in told} == {8}


def test_the_next_window_begins_anew() -> None:
    one = process(Control())
    assert one.acquire("bot", 1, 1, NOON_MS).admitted
    assert not one.acquire("bot", 1, 1, NOON_MS + WINDOW_MS - 1).admitted
    assert one.acquire("bot", 1, 1, NOON_MS + WINDOW_MS).admitted


def test_clients_have_quotas_of_their_own() -> None:
    one = process(Control())
    assert one.acquire("bot", 1, 1, NOON_MS).admitted
    assert one.acquire("desk", 1, 1, NOON_MS).admitted
    assert not one.acquire("bot", 1, 1, NOON_MS).admitted


def test_without_the_control_redis_each_process_counts_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now_s[0])
    control = Control()
    control.away = True
    one = process(control)
    assert sum(one.acquire("bot", 10, 1, NOON_MS).admitted for _ in range(15)) == 10
    assert control.asked == 1, "it is not retried for a second"
    control.away = False
    now_s[0] += module.RETRY_S
    assert one.acquire("bot", 10, 1, NOON_MS + WINDOW_MS).admitted
    assert control.asked == 2


def test_real_processes_and_threads_share_a_quota_exactly(redis_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 10)  # a busy machine is no reason to count alone
    processes = [RateLimiter(Server(redis_server)) for _ in range(4)]
    with ThreadPoolExecutor(8) as threads:
        told = threads.map(lambda i: processes[i % 4].acquire("shared", 500, 1, NOON_MS).admitted, range(1_000))
        admitted = sum(told)
    held = sum(one._leases["shared"].held for one in processes)
    assert admitted + held == 500
    assert held <= 4 * 500 // LEASES_PER_WINDOW
    with Redis.from_url(redis_server) as redis:
        (key,) = redis.keys("limit:shared:*")
        assert 0 < redis.ttl(key) <= 2 * WINDOW_S


def test_a_control_redis_that_refuses_is_as_good_as_none(redis_server: str) -> None:
    with Redis.from_url(redis_server) as redis:
        redis.lpush(f"limit:odd:{NOON_MS // WINDOW_MS}", "no number")
    one = RateLimiter(Server(redis_server))
    assert one.acquire("odd", 1, 1, NOON_MS).admitted
    assert not one.acquire("odd", 1, 1, NOON_MS).admitted
