"""Lease: when a worker last knew that its partitions are its own."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest

from featurestore.config import Settings
from streams import lease as module
from streams.lease import REBALANCE_TIMEOUT_S, Lease, LeaseLost, longest_ms, longest_skew_ms

pytestmark = pytest.mark.anyio

HEARTBEAT = HeartbeatRequest("group", 1, "member")
SYNC = SyncGroupRequest("group", 1, "member", None, [])
JOIN = JoinGroupRequest("group", 3_000, 60_000, "", None, "consumer", [])
ILLEGAL_GENERATION, UNKNOWN_MEMBER, REBALANCE_IN_PROGRESS = 22, 25, 27


class Coordinator:
    """Double of aiokafka's group coordinator: each answer takes two seconds and has ``error_code``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.lease = Lease(session_ms=3_000)
        monkeypatch.setattr(module.time, "time", lambda: self.now)
        self.lease.watch(self)

    async def _send_req(self, request: Any) -> Any:
        self.now += 2
        return SimpleNamespace(error_code=self.error_code)

    async def answer(self, request: Any, error_code: int) -> float:
        """The lease's heartbeat time, in seconds, after an answer."""
        self.error_code = error_code
        await self._send_req(request)
        return self.lease.heartbeat_ms / 1000


@pytest.fixture
def coordinator(monkeypatch: pytest.MonkeyPatch) -> Coordinator:
    return Coordinator(monkeypatch)


@pytest.mark.parametrize("request_", [HEARTBEAT, SYNC], ids=["heartbeat", "sync"])
async def test_good_answer_renews_from_the_time_of_sending(coordinator: Coordinator, request_: Any) -> None:
    assert await coordinator.answer(request_, 0) == 100


async def test_heartbeat_renews_while_the_broker_waits_for_the_rejoin(coordinator: Coordinator) -> None:
    """The rejoin waits for the micro-batch being handled, whose writes need the lease."""
    await coordinator.answer(HEARTBEAT, 0)
    assert await coordinator.answer(HEARTBEAT, REBALANCE_IN_PROGRESS) == 102
    assert await coordinator.answer(HEARTBEAT, REBALANCE_IN_PROGRESS) == 104


async def test_nothing_renews_after_the_request_to_rejoin(coordinator: Coordinator) -> None:
    """From then on the broker may give its partitions away at any time."""
    await coordinator.answer(HEARTBEAT, 0)
    await coordinator.answer(JOIN, 0)
    assert await coordinator.answer(HEARTBEAT, REBALANCE_IN_PROGRESS) == 100
    assert await coordinator.answer(SYNC, REBALANCE_IN_PROGRESS) == 100
    assert await coordinator.answer(HEARTBEAT, REBALANCE_IN_PROGRESS) == 100
    assert await coordinator.answer(SYNC, 0) == 110
    assert await coordinator.answer(HEARTBEAT, REBALANCE_IN_PROGRESS) == 112


async def test_rebalance_renews_no_longer_than_the_broker_waits(coordinator: Coordinator) -> None:
    """It may have begun right after the last good answer, and its end may give the partitions away."""
    await coordinator.answer(HEARTBEAT, 0)
    for _ in range(40):
        heartbeat_s = await coordinator.answer(HEARTBEAT, REBALANCE_IN_PROGRESS)
    assert heartbeat_s == 100 + REBALANCE_TIMEOUT_S - 3
    assert heartbeat_s < coordinator.now - 20


async def test_rebalance_renews_nothing_before_the_first_join(coordinator: Coordinator) -> None:
    assert await coordinator.answer(HEARTBEAT, REBALANCE_IN_PROGRESS) < coordinator.now - 20


@pytest.mark.parametrize("error_code", [UNKNOWN_MEMBER, ILLEGAL_GENERATION])
async def test_replaced_worker_does_not_wait_for_another_heartbeat(coordinator: Coordinator, error_code: int) -> None:
    await coordinator.answer(HEARTBEAT, 0)
    assert await coordinator.answer(HEARTBEAT, error_code) == 100
    with pytest.raises(LeaseLost, match="given the partitions away"):
        await coordinator.lease.renewed_after(100_000)
    await coordinator.answer(JOIN, 0)
    assert await coordinator.answer(SYNC, 0) == 106
    await coordinator.lease.renewed_after(100_000)


async def test_other_requests_renew_nothing(coordinator: Coordinator) -> None:
    assert await coordinator.answer(object(), 0) == 0


async def test_refused_write_waits_for_the_next_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    lease, good = Lease(session_ms=3_000), SimpleNamespace(error_code=0)

    async def send(_request: Any) -> Any:
        return good

    coordinator = SimpleNamespace(_send_req=send)
    lease.watch(coordinator)
    waiting = asyncio.create_task(lease.renewed_after(lease.heartbeat_ms))
    await asyncio.sleep(0)
    assert not waiting.done()
    await coordinator._send_req(HEARTBEAT)
    await waiting


async def test_lease_that_is_not_renewed_is_lost() -> None:
    with pytest.raises(LeaseLost, match=r"no heartbeat for 0\.01 s"):
        await Lease(session_ms=10).renewed_after(0)


def test_broker_refuses_writes_before_the_session_ends() -> None:
    settings = Settings(stream_session_ms=3000)
    assert longest_ms(settings) == 2000
    assert longest_skew_ms(settings) == 1000
