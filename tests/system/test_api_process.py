"""Web process: replaced and stopped without a failed request, not held up by slow clients, no personal data logged."""

import ctypes
import http.client
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from adminsite.serve import MAX_HEADERS_BYTES, MAX_REQUESTS
from devservers.waiting import eventually
from tests.system.api_process import IDLE_S, ApiProcess, HealthClients

QUESTION = {"service": "support_chat", "purpose": "service", "customer_id": "jane@example.org"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, redis_server: str) -> Iterator[ApiProcess]:
    made = ApiProcess(tmp_path_factory.mktemp("serving"), redis_server)
    yield made
    made.installation.stop()


def logged(api: ApiProcess, words: str) -> int:
    """Number of log events that begin so."""
    return sum(str(line["event"]).startswith(words) for line in api.log_lines())


def test_worker_is_replaced_without_a_failed_request(api: ApiProcess) -> None:
    with HealthClients(api.port).running() as clients:
        eventually(lambda: clients.answered["keeps"] > 50, "clients are answered")
        api.process.send_signal(signal.SIGHUP)
        eventually(
            lambda: any(str(line["event"]).startswith("Stopped old worker") for line in api.log_lines()),
            "the old worker has stopped",
        )
        seen = clients.answered.copy()
        eventually(lambda: clients.answered["keeps"] > seen["keeps"] + 50, "the new worker answers")
    assert logged(api, "Started worker") == 2
    assert not clients.failed


def new_connection_answers(api: ApiProcess) -> bool:
    """Whether the API answers on a new connection. The client's own may be closed as idle at this very moment."""
    return httpx.get(f"http://127.0.0.1:{api.port}/healthz", timeout=30).status_code == 200


def test_slow_senders_hold_up_no_other_client(api: ApiProcess) -> None:
    slow = []
    for i in range(MAX_REQUESTS // 4):
        connected = socket.create_connection(("127.0.0.1", api.port), timeout=10)
        headers = b"POST /v1/features HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"
        connected.sendall(headers if i % 2 else headers[:20])
        slow.append(connected)
    try:
        began_s = time.perf_counter()
        assert new_connection_answers(api)
        assert time.perf_counter() - began_s < 8, "it waited for none of the slow ones"
        eventually(lambda: slow[0].recv(100) == b"", "the connection with incomplete headers is closed")
    finally:
        for connected in slow:
            connected.close()
    assert new_connection_answers(api)


def test_idle_connection_is_closed_after_the_idle_time(api: ApiProcess) -> None:
    kept = http.client.HTTPConnection("127.0.0.1", api.port, timeout=20 * IDLE_S)
    kept.connect()
    used = kept.sock
    for _ in range(2):
        kept.request("GET", "/healthz")
        kept.getresponse().read()
        answered_s = time.monotonic()
        time.sleep(IDLE_S / 3)  # what is waited for is that nothing happens
    assert kept.sock is used
    assert used.recv(100) == b""
    assert time.monotonic() - answered_s > IDLE_S * 0.9
    kept.close()


def heaps_besides_the_first(pid: int) -> int:
    """How many glibc's malloc made for threads: each is 64 MiB of addresses, begun at a multiple, used from there."""
    size, found, begun = 64 * 2**20, 0, (0, 0)
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        place, rights = line.split()[:2]
        start, end = (int(address, 16) for address in place.split("-"))
        found += rights == "---p" and start == begun[1] and end == begun[0] + size
        begun = (start, end) if rights == "rw-p" and start % size == 0 else (0, 0)
    return found


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_all_threads_share_one_heap(api: ApiProcess) -> None:
    clients = HealthClients(api.port)
    with clients.running():
        eventually(lambda: clients.answered["keeps"] > 50, "clients are answered")
    worker = max(psutil.Process(api.process.pid).children(recursive=True), key=psutil.Process.num_threads)
    assert worker.num_threads() > 4
    assert heaps_besides_the_first(worker.pid) == 0


def test_no_thread_keeps_a_database_connection(api: ApiProcess) -> None:
    def ask(number: int) -> int:
        person = {"customer_id": f"C{number}", "region": "eu", "brand": "acme"}
        return httpx.post(
            f"http://127.0.0.1:{api.port}/v1/customers", json=person, headers=api.client.headers
        ).status_code

    def held() -> int:
        files = [file.path for child in psutil.Process(api.process.pid).children() for file in child.open_files()]
        return sum("rapport.sqlite3" in path for path in files)

    with ThreadPoolExecutor(8) as callers:
        assert set(callers.map(ask, range(40))) <= {200, 201, 202}
    eventually(lambda: held() == 0, "all connections are closed")


def test_headers_are_bounded(api: ApiProcess) -> None:
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connected:
        connected.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 2 * MAX_HEADERS_BYTES)
        assert connected.recv(100).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("head", [b"GARBAGE\r\n\r\n", b"GET /healthz HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"])
def test_malformed_http_is_refused(api: ApiProcess, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connected:
        connected.sendall(head)
        connected.shutdown(socket.SHUT_WR)
        assert connected.recv(100)[:12] in {b"HTTP/1.1 400", b""}
    assert api.client.get("/healthz").status_code == 200


def test_log_lines_are_json_without_customer_ids(api: ApiProcess) -> None:
    answer = api.client.post("/v1/features", json=QUESTION)
    request_id = answer.headers["X-Request-Id"]
    line = eventually(
        lambda: next((line for line in api.log_lines() if line.get("request_id") == request_id), None),
        "the request is logged",
    )
    assert {"route": "features", "status": answer.status_code}.items() <= line.items()
    written = (Path(api.installation.folder) / "api.log").read_text()
    assert "jane" not in written


def test_shutdown_finishes_every_request(tmp_path: Path, redis_server: str) -> None:
    api = ApiProcess(tmp_path, redis_server)
    try:
        with HealthClients(api.port, balanced=True).running() as clients:
            eventually(lambda: clients.answered["keeps"] > 50, "clients are answered")
            api.process.send_signal(signal.SIGTERM)
            eventually(lambda: not_ready(api), "readiness says that it drains")
            assert api.process.wait(20) == 0
        assert not clients.failed
    finally:
        api.installation.stop()


def not_ready(api: ApiProcess) -> bool:
    try:
        return b"draining" in httpx.get(f"http://127.0.0.1:{api.port}/readyz").content
    except httpx.TransportError:
        return False
