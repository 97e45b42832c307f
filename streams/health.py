"""HTTP server of a worker: whether it is alive, whether it is ready and why not, and its metrics."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

Reasons = Callable[[], list[str]]


class HealthServer:
    """Server of ``/healthz``, ``/readyz`` (503 with the reasons while there are any) and ``/metrics``."""

    def __init__(self, port: int, reasons: Reasons) -> None:
        self.port = port
        self._reasons = reasons
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        site = web.Application()
        site.add_routes(
            [web.get("/healthz", self._alive), web.get("/readyz", self._ready), web.get("/metrics", self._metrics)]
        )
        self._runner = web.AppRunner(site, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, port=self.port).start()

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _alive(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _ready(self, _request: web.Request) -> web.Response:
        reasons = self._reasons()
        body = {"status": "not ready" if reasons else "ready", "reasons": reasons}
        return web.json_response(body, status=503 if reasons else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
