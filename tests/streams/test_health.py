"""What the worker says of itself over HTTP."""

import json
from http import HTTPStatus

import aiohttp
import pytest

from devservers.ports import free_port
from streams.health import HealthServer
from streams.metrics import REBALANCES

pytestmark = pytest.mark.anyio


async def test_ready_and_why_not_and_what_is_counted() -> None:
    reasons = ["recovering: 7 changelog records to read"]
    health = HealthServer(free_port(), lambda: reasons)
    await health.start()
    base = f"http://127.0.0.1:{health.port}"
    async with aiohttp.ClientSession() as session:

        async def get(path: str) -> tuple[int, str]:
            async with session.get(base + path) as answer:
                return answer.status, await answer.text()

        status, body = await get("/readyz")
        assert (status, json.loads(body)["reasons"]) == (HTTPStatus.SERVICE_UNAVAILABLE, reasons)
        assert (await get("/healthz"))[0] == HTTPStatus.OK
        reasons.clear()
        assert await get("/readyz") == (HTTPStatus.OK, '{"status": "ready", "reasons": []}')
        REBALANCES.inc()
        assert "rapport_stream_rebalances_total" in (await get("/metrics"))[1]
    await health.stop()
