"""Health page and metrics of a process that serves nothing else: Celery worker, beat, store verifier.

Its clients are a probe and Prometheus. So it answers one request at a time, in one thread, and waits TIMEOUT_S for the
bytes of each.
"""

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

TIMEOUT_S = 2.0
JSON = "application/json"

log = structlog.get_logger(__name__)


class HealthServer(HTTPServer):
    """Server of ``/healthz`` (503 while the process is not ``alive``) and ``/metrics``, at all addresses."""

    def __init__(self, port: int, alive: Callable[[], bool], metrics: Callable[[], bytes]) -> None:
        self.alive, self.metrics = alive, metrics
        super().__init__(("", port), Handler)

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The standard library would write a traceback to standard error."""
        log.warning("a request for health page or metrics failed", exc_info=True)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    timeout = TIMEOUT_S
    server: HealthServer

    def do_GET(self) -> None:
        match self.path:
            case "/healthz" if self.server.alive():
                self._answer(HTTPStatus.OK, JSON, b'{"alive":true}')
            case "/healthz":
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, JSON, b'{"alive":false}')
            case "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, self.server.metrics())
            case _:
                self._answer(HTTPStatus.NOT_FOUND, JSON, b'{"pages":["/healthz","/metrics"]}')

    def _answer(self, status: HTTPStatus, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a line for each probe would say nothing."""


def own_metrics() -> bytes:
    """The metrics of this process in Prometheus' text format."""
    return generate_latest(REGISTRY)


def serve_health(
    port: int, alive: Callable[[], bool] = lambda: True, metrics: Callable[[], bytes] = own_metrics
) -> HealthServer | None:
    """Serve in a thread of its own until the process ends, or ``stop``; None, and no server, for port 0.

    Raises OSError if the port is taken: a process that nobody can watch must not seem well.
    """
    if not port:
        return None
    server = HealthServer(port, alive, metrics)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
