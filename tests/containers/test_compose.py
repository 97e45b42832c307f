"""Dockerfile and docker-compose.yml as they are: built, started, read through TLS, killed, scaled, taken down.

The base images are stand-ins (tests/containers/standins.py). What a read answers while a service is down is judged by
what must hold at any moment; then the test waits until everything is as before.
"""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx
import pytest

from featurestore.config import ROOT
from tests.containers.composed import HOST, PASSWORD, QUERY, Answer, Composed
from tests.kit.event_stream import Listener

pytestmark = [pytest.mark.containers, pytest.mark.last, pytest.mark.timeout(2400)]

KILLED = [
    "proxy", "api", "admin", "sse", "celery", "celery-urgent", "beat", "store-verifier", "streams",
    "kafka", "store", "control", "postgres", "prometheus", "alertmanager",
]  # fmt: skip
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')


def test_every_service_that_stays_is_killed_below(composed: Composed) -> None:
    assert set(KILLED) == set(composed.services) - {"migrate", "topics"}


def test_image_has_no_package_settings_and_no_pip(composed: Composed) -> None:
    (container,) = composed.containers("api")
    look = (
        "import pathlib, importlib.util as u; print(pathlib.Path('/etc/pip.conf').stat().st_size, u.find_spec('pip'))"
    )
    assert composed.podman.run("exec", container["Id"], "python", "-c", look).split() == ["0", "None"]


def test_api_is_read_through_the_proxy_and_its_pages_are_public(composed: Composed) -> None:
    assert composed.read() == Answer("present", 1)
    pages = {path: composed.engine.get(path).status_code for path in ("/", "/v1/docs", "/v1/openapi.json")}
    assert set(pages.values()) == {200}, pages
    inner = {path: composed.engine.get(path).status_code for path in ("/metrics", "/readyz", "/healthz", "/admin/")}
    assert set(inner.values()) == {404}, inner


def test_event_stream_passes_the_proxy_at_once(composed: Composed) -> None:
    url = f"https://{HOST}:{composed.public_port}"
    client = composed.client(composed.public_port)
    client.timeout = httpx.Timeout(30, read=120)
    stream = Listener(url, composed.key, QUERY, client=client, Accept="text/event-stream")
    assert stream.status == 200, stream.problem
    composed.send_message()
    stream.until_value(QUERY["features"][0], composed.sent, within_s=60)
    stream.disconnect()
    composed.settle()


def test_staff_log_in_through_the_proxy_of_the_administration(composed: Composed) -> None:
    client = composed.client(composed.admin_port)
    page = client.get("/admin/", follow_redirects=True)
    assert page.status_code == 200
    files = re.findall(r'(?:src|href)="(/static/[^"]*)"', page.text)
    assert {file: client.get(file).status_code for file in files} == dict.fromkeys(files, 200)
    (token,) = set(TOKEN.findall(page.text))
    form = {"csrfmiddlewaretoken": token, "login": "petra", "password": PASSWORD}
    logged_in = client.post(page.url, data=form, headers={"Referer": str(page.url)})
    assert (logged_in.status_code, logged_in.headers.get("location")) == (302, "/admin/"), logged_in.text
    assert "second-factor" in client.get("/admin/", follow_redirects=True).url.path


@pytest.mark.parametrize("service", KILLED)
def test_killed_service_comes_back_and_reads_are_right(composed: Composed, service: str) -> None:
    composed.settle()
    runs_again = composed.kill(service)
    composed.until(lambda: [composed.read(), runs_again()][-1], f"{service} runs again")
    composed.send_message()
    composed.settle()
    composed.until(lambda: composed.is_well(service), f"{service} is healthy")


def all_up(composed: Composed, **copies: int) -> bool:
    """Whether Prometheus scrapes every process, as often as there are copies of it, and finds Alertmanager."""
    jobs = set(composed.services) - {"migrate", "topics", "proxy", "kafka", "store", "control", "postgres"}
    expected = Counter({(job, "up"): copies.get(job, 1) for job in jobs})
    return composed.scraped() == expected and composed.alertmanagers() == 1


def members(composed: Composed) -> set[str]:
    """The member ids of the stream workers' copies."""
    return {
        composed.podman.run("exec", container["Id"], "cat", "/data/member")
        for container in composed.containers("streams")
    }


def test_every_process_is_scraped_also_its_copies(composed: Composed) -> None:
    composed.until(lambda: all_up(composed), "every process is scraped")
    (first,) = members(composed)
    composed.up("--no-recreate", "--scale", "api=2", "--scale", "streams=2")
    composed.until(lambda: all_up(composed, api=2, streams=2), "every copy is scraped")
    assert len(members(composed)) == 2
    assert first in members(composed)
    composed.send_message()
    composed.settle()


def test_stream_worker_made_anew_is_the_same_member(composed: Composed) -> None:
    before, containers = members(composed), {each["Id"] for each in composed.containers("streams")}
    anew = ["--no-build", "--no-deps", "--force-recreate", "--timeout", "5"]
    composed.compose("up", "--detach", *anew, "--scale", "streams=2", "streams")
    composed.until(lambda: len(composed.containers("streams")) == 2, "two stream workers run")
    assert not containers & {each["Id"] for each in composed.containers("streams")}
    assert members(composed) == before
    composed.send_message()
    composed.settle()


def test_image_of_a_team_has_its_own_catalog(composed: Composed, tmp_path: Path) -> None:
    starter = tmp_path / "hotel"
    subprocess.run([sys.executable, "manage.py", "features", "init", starter], cwd=ROOT, check=True)
    composed.podman.run("tag", "rapport:0.2.0", "rapport:latest")  # as its Dockerfile says of a checkout
    composed.podman.build(starter / "Dockerfile", starter, "hotel:1")
    command = ["run", "--rm", "--no-deps", "-T", "admin", "python", "manage.py", "features", "list"]
    listed = composed.compose(*command, RAPPORT_IMAGE="hotel:1")
    assert "stays" in listed
    assert "dialogue" not in listed
