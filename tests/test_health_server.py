"""Health page and metrics of a process that serves nothing else."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from devservers.ports import free_port
from featurestore.health_probe import is_alive
from featurestore.health_server import HealthServer, serve_health

alive = True


@pytest.fixture
def server() -> Iterator[HealthServer]:
    made = serve_health(free_port(), lambda: alive)
    assert made
    yield made
    made.stop()


def url(server: HealthServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_alive_and_metrics(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert httpx.get(f"{url(server)}/healthz").json() == {"alive": True}
    assert "python_info" in httpx.get(f"{url(server)}/metrics").text
    monkeypatch.setattr(f"{__name__}.alive", False)
    assert httpx.get(f"{url(server)}/healthz").status_code == 503


def test_probe_knows_the_alive_from_others(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_alive(server.server_port)
    monkeypatch.setattr(f"{__name__}.alive", False)
    assert not is_alive(server.server_port)
    assert not is_alive(free_port())


@pytest.mark.parametrize("path", ["/", "/metrics/..", "/healthz?x"])
def test_other_page_is_not_found(server: HealthServer, path: str) -> None:
    assert httpx.get(f"{url(server)}{path}").status_code == 404


def test_other_method_is_refused(server: HealthServer) -> None:
    assert httpx.post(f"{url(server)}/metrics").status_code == 501


def test_page_that_fails_ends_neither_the_process_nor_the_server(server: HealthServer) -> None:
    answer, server.metrics = server.metrics, lambda: bytes(1 // 0)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{url(server)}/metrics")
    server.metrics = answer
    assert httpx.get(f"{url(server)}/metrics").status_code == 200


def test_silent_client_keeps_nobody_out_for_long(server: HealthServer) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port)):
        assert httpx.get(f"{url(server)}/healthz", timeout=30).status_code == 200


def test_port_0_is_no_server_and_a_port_in_use_is_refused(server: HealthServer) -> None:
    assert serve_health(0) is None
    with pytest.raises(OSError, match="in use"):
        serve_health(server.server_port)
