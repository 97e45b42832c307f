"""Health server of a worker: probes and metrics over HTTP."""

import json
from http import HTTPStatus

import aiohttp
import pytest

from devservers.ports import free_port
from streams.health import HealthServer
from streams.metrics import REBALANCES

pytestmark = pytest.mark.anyio


async def test_probes_report_the_reasons_and_metrics_are_exposed() -> None:
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
