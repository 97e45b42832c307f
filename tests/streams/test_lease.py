"""When a worker last knew that its partitions are its own."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest

from featurestore.config import Settings
from streams import lease as module
from streams.lease import Lease, LeaseLost, longest_ms, longest_skew_ms

pytestmark = pytest.mark.anyio

HEARTBEAT = HeartbeatRequest("group", 1, "member")
SYNC = SyncGroupRequest("group", 1, "member", None, [])
REBALANCE_IN_PROGRESS = 27


async def renewed_by(request: Any, error_code: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """The lease's stamp after an answer that came two seconds after its request."""
    clock = [100.0]

    async def send(_request: Any) -> Any:
        clock[0] += 2
        return SimpleNamespace(error_code=error_code)

    monkeypatch.setattr(module.time, "time", lambda: clock[0])
    coordinator, lease = SimpleNamespace(_send_req=send), Lease(session_ms=3_000)
    lease.watch(coordinator)
    await coordinator._send_req(request)
    return lease.stamp()


@pytest.mark.parametrize("request_", [HEARTBEAT, SYNC], ids=["heartbeat", "sync"])
async def test_a_good_answer_renews_from_the_time_of_asking(request_: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await renewed_by(request_, 0, monkeypatch) == 100.0


async def test_a_rebalance_renews_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await renewed_by(HEARTBEAT, REBALANCE_IN_PROGRESS, monkeypatch) == 0.0


async def test_another_request_renews_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await renewed_by(object(), 0, monkeypatch) == 0.0


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
