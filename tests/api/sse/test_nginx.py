"""The proxy's configuration, deploy/nginx, with a real nginx: TLS, clients' certificates, streams under compression."""

import re
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from devservers.certificates import Authority
from devservers.nginx_server import NginxServer, executable
from devservers.ports import free_port
from devservers.server import running
from devservers.waiting import eventually
from featurestore.config import ROOT
from tests.api.sse.conftest import QUERY, Serve, StreamEnvironment
from tests.kit.event_stream import Listener
from tests.kit.loopback import ToLoopback

HOST = "features.example.org"
DEPLOYED = ROOT / "deploy" / "nginx"
COMPRESSION = "gzip on; gzip_types *; gzip_proxied any; gzip_min_length 1;"
SPENT = "spend_amount_sum_1h"
pytestmark = [pytest.mark.redis, pytest.mark.skipif(executable() is None, reason="nginx is not installed")]


class Proxied(NamedTuple):
    """An nginx before an API and an event-stream process, which know themselves by HOST alone."""

    shop: StreamEnvironment
    nginx: NginxServer
    authority: Authority

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.nginx.port}"

    def client(self, name: str = "bot", **headers: str) -> httpx.Client:
        """An HTTP client with a certificate; "" has none."""
        trusted = ssl.create_default_context(cafile=str(self.authority.folder / "ca.pem"))
        if name:
            trusted.load_cert_chain(*(str(self.authority.folder / f"{name}.{kind}") for kind in ("pem", "key")))
        return httpx.Client(transport=ToLoopback(trusted), headers=headers, timeout=httpx.Timeout(10, read=60))


def configuration(nginx: NginxServer, certificates: Path, api_port: int, sse_port: int) -> str:
    """The deployed configuration with mutual TLS, at a test's ports and with its certificates."""
    text = (DEPLOYED / "nginx.conf").read_text("utf-8")
    mutual_tls = (DEPLOYED / "mutual-tls.conf").read_text("utf-8")
    for old, new in {
        "# include /etc/rapport/mutual-tls.conf;": mutual_tls,
        "include /tmp/resolver.conf;": COMPRESSION,
        "api:8000": f"127.0.0.1:{api_port}",
        "admin:8000": f"127.0.0.1:{api_port}",
        "sse:8002": f"127.0.0.1:{sse_port}",
        "listen 8443 ssl": f"listen 127.0.0.1:{nginx.port} ssl",
        "listen 8444 ssl": f"listen 127.0.0.1:{free_port()} ssl",
        "/tmp/": f"{nginx.folder}/",
        "/etc/rapport-certificates/clients-ca.pem": f"{certificates}/ca.pem",
        "/etc/rapport-certificates/clients.crl": f"{certificates}/revoked.crl",
        "/etc/rapport-certificates/": f"{certificates}/",
    }.items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def proxied(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    shop = serve(sse_heartbeat_s=60, allowed_hosts=f'["{HOST}"]', https=True)
    shop.made.start("api", *shop.made.api_command, serves="api")
    folder = tmp_path_factory.mktemp("nginx")
    authority = Authority(folder / "certificates")
    authority.identity("server", HOST)
    authority.identity("bot")
    authority.identity("former")
    authority.revoke("former")
    nginx = NginxServer(folder)
    nginx.configuration = configuration(nginx, authority.folder, shop.made.api_port, shop.made.sse_port)
    with running(nginx):
        made = Proxied(shop, nginx, authority)
        eventually(lambda: made.client().get(made.url).status_code == 200, "the API answers through nginx", 30)
        yield made


def test_event_stream_passes_nginx_at_once_and_uncompressed(proxied: Proxied) -> None:
    customer = proxied.shop.customer()
    client = proxied.client(Accept="text/event-stream", **{"Accept-Encoding": "gzip, deflate, br"})
    stream = Listener(proxied.url, proxied.shop.key, QUERY | {"customer_id": customer}, client=client)
    assert stream.status == 200, stream.problem
    assert "content-encoding" not in stream.headers
    assert stream.headers["cache-control"] == "no-store, no-transform"
    stream.until_value(SPENT, 10)
    began_s = time.monotonic()
    proxied.shop.buy(customer)
    stream.until_value(SPENT, 20, within_s=40)
    assert time.monotonic() - began_s < 40, "the heartbeat, which could push it out, is a minute away"
    stream.disconnect()


def test_api_is_reached_under_its_public_name_and_compressed(proxied: Proxied) -> None:
    client = proxied.client(Authorization=f"Bearer {proxied.shop.key}")
    read = client.post(f"{proxied.url}/v1/features", json=QUERY | {"customer_id": proxied.shop.customer()})
    assert (read.status_code, read.headers["content-encoding"]) == (200, "gzip")
    assert client.get(f"{proxied.url}/v1/services").status_code == 200
    assert client.post(f"{proxied.url}/oauth/token/", data={"grant_type": "client_credentials"}).status_code == 401


def test_page_of_the_api_has_its_files(proxied: Proxied) -> None:
    client = proxied.client()
    files = re.findall(r'(?:src|href)="(/[^"]*)"', client.get(f"{proxied.url}/v1/docs").text)
    assert len(files) >= 4
    assert {file: client.get(f"{proxied.url}{file}").status_code for file in files} == dict.fromkeys(files, 200)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/admin/"])
def test_internal_pages_are_not_published(proxied: Proxied, path: str) -> None:
    answer = proxied.client().get(f"{proxied.url}{path}")
    assert (answer.status_code, answer.headers["server"].partition("/")[0]) == (404, "nginx")


@pytest.mark.parametrize("path", ["/requests/form/unknown", "/requests/code/unknown", "/exports/unknown"])
def test_pages_for_customers_are_published_and_need_no_certificate(proxied: Proxied, path: str) -> None:
    answer = proxied.client("").get(f"{proxied.url}{path}")
    assert answer.status_code == 404
    assert "<center>nginx" not in answer.text, "the process itself answers"


@pytest.mark.parametrize("name", ["", "former"])
def test_client_without_a_valid_certificate_is_refused(proxied: Proxied, name: str) -> None:
    answer = proxied.client(name).get(f"{proxied.url}/v1/services")
    assert (answer.status_code, answer.headers["server"].partition("/")[0]) == (400, "nginx")
