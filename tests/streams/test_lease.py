"""When a worker last knew that its partitions are its own."""

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
    """Answers with ``error_code``, two seconds after the request; what aiokafka's does is asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.lease = Lease(session_ms=3_000)
        monkeypatch.setattr(module.time, "time", lambda: self.now)
        self.lease.watch(self)

    async def _send_req(self, request: Any) -> Any:
        self.now += 2
        return SimpleNamespace(error_code=self.error_code)

    async def answers(self, request: Any, error_code: int) -> float:
        """The lease's stamp after an answer."""
        self.error_code = error_code
        await self._send_req(request)
        return self.lease.stamp()


@pytest.fixture
def coordinator(monkeypatch: pytest.MonkeyPatch) -> Coordinator:
    return Coordinator(monkeypatch)


@pytest.mark.parametrize("request_", [HEARTBEAT, SYNC], ids=["heartbeat", "sync"])
async def test_a_good_answer_renews_from_the_time_of_asking(coordinator: Coordinator, request_: Any) -> None:
    assert await coordinator.answers(request_, 0) == 100


async def test_a_heartbeat_renews_while_the_broker_waits_for_this_worker_to_rejoin(coordinator: Coordinator) -> None:
    """What the rejoin waits for, a batch in hand, waits for the lease itself."""
    await coordinator.answers(HEARTBEAT, 0)
    assert await coordinator.answers(HEARTBEAT, REBALANCE_IN_PROGRESS) == 102
    assert await coordinator.answers(HEARTBEAT, REBALANCE_IN_PROGRESS) == 104


async def test_nothing_renews_once_the_worker_has_asked_to_rejoin(coordinator: Coordinator) -> None:
    """From then on the broker may give its partitions away at any time."""
    await coordinator.answers(HEARTBEAT, 0)
    await coordinator.answers(JOIN, 0)
    assert await coordinator.answers(HEARTBEAT, REBALANCE_IN_PROGRESS) == 100
    assert await coordinator.answers(SYNC, REBALANCE_IN_PROGRESS) == 100
    assert await coordinator.answers(HEARTBEAT, REBALANCE_IN_PROGRESS) == 100
    assert await coordinator.answers(SYNC, 0) == 110
    assert await coordinator.answers(HEARTBEAT, REBALANCE_IN_PROGRESS) == 112


async def test_a_rebalance_renews_no_longer_than_the_broker_waits_for_it(coordinator: Coordinator) -> None:
    """It may have begun right after the last good answer, and its end may give the partitions away."""
    await coordinator.answers(HEARTBEAT, 0)
    for _ in range(40):
        stamp = await coordinator.answers(HEARTBEAT, REBALANCE_IN_PROGRESS)
    assert stamp == 100 + REBALANCE_TIMEOUT_S - 3
    assert stamp < coordinator.now - 20


async def test_a_rebalance_renews_nothing_of_a_worker_that_never_joined(coordinator: Coordinator) -> None:
    assert await coordinator.answers(HEARTBEAT, REBALANCE_IN_PROGRESS) < coordinator.now - 20


@pytest.mark.parametrize("error_code", [UNKNOWN_MEMBER, ILLEGAL_GENERATION])
async def test_a_worker_that_was_replaced_does_not_wait_for_another_heartbeat(
    coordinator: Coordinator, error_code: int
) -> None:
    await coordinator.answers(HEARTBEAT, 0)
    assert await coordinator.answers(HEARTBEAT, error_code) == 100
    with pytest.raises(LeaseLost, match="given the partitions away"):
        await coordinator.lease.renewed_after(100)
    await coordinator.answers(JOIN, 0)
    assert await coordinator.answers(SYNC, 0) == 106
    await coordinator.lease.renewed_after(100)


async def test_another_request_renews_nothing(coordinator: Coordinator) -> None:
    assert await coordinator.answers(object(), 0) == 0


async def test_a_write_that_was_refused_waits_for_the_next_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    lease, good = Lease(session_ms=3_000), SimpleNamespace(error_code=0)

    async def send(_request: Any) -> Any:
        return good

    coordinator = SimpleNamespace(_send_req=send)
    lease.watch(coordinator)
    waiting = asyncio.create_task(lease.renewed_after(lease.stamp()))
    await asyncio.sleep(0)
    assert not waiting.done()
    await coordinator._send_req(HEARTBEAT)
    await waiting


async def test_a_lease_that_is_not_renewed_is_lost() -> None:
    with pytest.raises(LeaseLost, match=r"no heartbeat for 0\.01 s"):
        await Lease(session_ms=10).renewed_after(0.0)


def test_the_broker_refuses_before_the_session_ends() -> None:
    settings = Settings(stream_session_ms=3000)
    assert longest_ms(settings) == 2000
    assert longest_skew_ms(settings) == 1000
