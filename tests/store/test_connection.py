"""Connection to one Redis: unresolved names, silent addresses and TLS, always within the deadline."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from devservers.certificates import Authority
from featurestore.servers import tls
from featurestore.servers.redis_url import parse_redis_url
from featurestore.store import connection
from featurestore.store.connection import Connection
from featurestore.store.protocol import StoreUnavailable

TOLERANCE_S = 0.3
INFO = b"$%d\r\n%s\r\n" % (len(b"run_id:abc"), b"run_id:abc")
resolve = socket.getaddrinfo
Resolver = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_resolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_resolutions", {})


def serving(tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Port of a server that answers the first commands of a connection with its run_id."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    accepted = server.accept()[0]
                    with tls.wrap_socket(accepted, server_side=True) if tls else accepted as client:
                        client.recv(1 << 16)
                        client.sendall(INFO)
                except ssl.SSLError:
                    continue  # a client that hangs up
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def port() -> Iterator[int]:
    yield from serving()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of localhost, signed by itself, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    made, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    of = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", made]
    subprocess.run(["openssl", "req", "-x509", *of, "-days", "2", *names], check=True, capture_output=True)
    return made, key


@pytest.fixture
def tls_port(certificate: tuple[Path, Path]) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    yield from serving(context)


def refused(url: str, timeout_ms: int) -> str:
    """The reason why a connection is not made, within the time given."""
    started_s = time.perf_counter()
    with pytest.raises(StoreUnavailable) as unavailable:
        Connection(parse_redis_url(url), timeout_ms)
    assert time.perf_counter() - started_s < timeout_ms / 1000 + TOLERANCE_S
    return str(unavailable.value)


def connect(url: str, timeout_ms: int = 2_000) -> None:
    made = Connection(parse_redis_url(url), timeout_ms)
    assert made.run_id == b"abc"
    made.close()


@pytest.fixture
def hanging_resolver() -> Iterator[Resolver]:
    """Name service that does not answer."""
    over = threading.Event()

    def hang(*_: Any, **__: Any) -> NoReturn:
        over.wait(10)
        raise socket.gaierror("over")

    yield hang
    over.set()


def test_an_unresolved_name_fails_at_the_deadline(monkeypatch: pytest.MonkeyPatch, hanging_resolver: Resolver) -> None:
    before = threading.active_count()
    monkeypatch.setattr(socket, "getaddrinfo", hanging_resolver)
    for _ in range(5):
        assert refused("redis://slow.example:6379", 50) == "store is not reachable: its name is not resolved in time"
    assert threading.active_count() <= before + 1, "one thread resolves, however many connections wait"


def test_a_late_resolution_serves_the_next_connection(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(host: str, at: int, *family: Any, **more: Any) -> Any:
        if host != "late.example":  # other threads of the run resolve too
            return resolve(host, at, *family, **more)
        time.sleep(0.2)
        return resolve("127.0.0.1", at, **more)

    monkeypatch.setattr(socket, "getaddrinfo", late)
    refused(f"redis://late.example:{port}", 50)
    time.sleep(0.3)
    connect(f"redis://late.example:{port}", 150)


def test_a_name_without_an_address_is_unreachable() -> None:
    assert refused("redis://nobody.invalid:6379", 5_000).startswith("store is not reachable: nobody.invalid is not")
    assert refused(f"redis://{'x' * 64}.example:6379", 5_000).startswith("store is not reachable: xxx")


def test_the_last_addresses_are_used_without_name_service(
    port: int, monkeypatch: pytest.MonkeyPatch, hanging_resolver: Resolver
) -> None:
    connect(f"redis://localhost:{port}")
    monkeypatch.setattr(socket, "getaddrinfo", hanging_resolver)
    connect(f"redis://localhost:{port}")
    ((host, resolution),) = connection._resolutions.items()
    connection._keep(host, resolution._replace(until_s=0))
    started_s = time.perf_counter()
    connect(f"redis://localhost:{port}", 400)
    assert time.perf_counter() - started_s < 0.4


def test_a_moved_server_is_found_at_the_second_connection(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = [1]  # port 1 refuses
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **more: resolve("127.0.0.1", ports[0], **more))
    assert "refused" in refused("redis://store.example", 500)
    ports[0] = port
    connect("redis://store.example")


def test_addresses_share_the_time_and_the_connected_one_is_next(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    silent, tried = ["192.0.2.1", "192.0.2.2"], []
    connect_to = connection._connect_to

    def recorded_connect(address: connection.Address, timeout_s: float) -> socket.socket:
        tried.append(address[4][0])
        if address[4][0] in silent:
            time.sleep(timeout_s)
            raise TimeoutError("timed out")
        return connect_to(address, timeout_s)

    def several(host: str, *more: Any, **others: Any) -> list[Any]:
        hosts = (*silent, "127.0.0.1") if host == "store.example" else (host,)  # other threads resolve other names
        return [found for each in hosts for found in resolve(each, *more, **others)]

    monkeypatch.setattr(connection, "_connect_to", recorded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", several)
    connect(f"redis://store.example:{port}", 600)
    connect(f"redis://store.example:{port}", 600)
    assert tried == [*silent, "127.0.0.1", "127.0.0.1"]
    silent.append("127.0.0.1")
    assert refused(f"redis://store.example:{port}", 300) == "store is not reachable: timed out"


def test_resolutions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(3 * connection.MAX_HOSTS):
        connection._keep((f"host{i}", 6379), connection.Resolution([], 0))
    assert len(connection._resolutions) == connection.MAX_HOSTS


def test_tls_verifies_name_and_authority(
    tls_port: int, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    tls._context.cache_clear()
    connect(f"rediss://localhost:{tls_port}/0")
    assert "mismatch" in refused(f"rediss://127.0.0.1:{tls_port}", 2_000), "a certificate of another name"
    monkeypatch.delenv("SSL_CERT_FILE")
    tls._context.cache_clear()
    assert "certificate verify failed" in refused(f"rediss://localhost:{tls_port}", 2_000), "no authority has signed it"


def test_a_silent_tls_handshake_ends_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "timed out" in refused(f"rediss://127.0.0.1:{silent.getsockname()[1]}", 100)


def test_a_renewed_authority_is_used_by_the_next_connection(
    tls_port: int, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    trusted = tmp_path / "authorities.pem"
    trusted.write_bytes(Authority(tmp_path / "other").file.read_bytes())
    url = f"rediss://localhost:{tls_port}/0?ssl_ca_certs={trusted}"
    assert "certificate verify failed" in refused(url, 2_000)
    trusted.write_bytes(certificate[0].read_bytes())
    connect(url)
