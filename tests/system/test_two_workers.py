"""A server with two workers: its metrics are those of both, whichever is asked; not ready before migrations ran."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from devservers.installation import Installation, answers
from devservers.waiting import eventually
from featurestore.api.process_metrics import folder_of
from tests.system.api_process import KAFKA

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, redis_server: str) -> Iterator[Installation]:
    """A server whose database is not migrated yet."""
    made = Installation(tmp_path_factory.mktemp("two"), kafka=KAFKA, store=redis_server, serves="api", journal_topic="")
    made.api_workers = 2
    made.start("api", *made.api_command)
    try:
        eventually(lambda: answers(made.client("none")), "the API answers", 30)
        yield made
    finally:
        made.stop()


def asked(server: Installation, path: str) -> httpx.Response:
    """An answer over a new connection, which either worker may accept."""
    return httpx.get(f"http://127.0.0.1:{server.api_port}{path}", timeout=10)


def samples(server: Installation, name: str) -> dict[str | None, float]:
    """The sum of a metric's samples by process."""
    found: dict[str | None, float] = {}
    for family in text_string_to_metric_families(asked(server, "/metrics").text):
        for sample in family.samples:
            if sample.name == name and sample.labels.get("status", "401") == "401":
                process = sample.labels.get("process")
                found[process] = found.get(process, 0) + sample.value
    return found


def workers(server: Installation) -> set[str]:
    return {str(child.pid) for child in psutil.Process(server.processes["api"].pid).children()}


def test_not_ready_until_migrations_ran(server: Installation) -> None:
    before = asked(server, "/readyz")
    assert (before.status_code, before.json()["checks"]["database"]) == (503, "not migrated")
    server.prepare_database()
    eventually(
        lambda: {asked(server, "/readyz").json()["checks"]["database"] for _ in range(10)} == {"ok"},
        "both workers see the tables",
    )


def test_either_worker_tells_the_metrics_of_both(server: Installation) -> None:
    url = f"http://127.0.0.1:{server.api_port}/v1/features"
    assert {httpx.post(url, json={}).status_code for _ in range(40)} == {401}
    eventually(lambda: sum(samples(server, "rapport_api_requests_total").values()) == 40, "all are counted")
    for _ in range(10):
        assert set(samples(server, "process_resident_memory_bytes")) == workers(server)
    assert set(samples(server, "rapport_latched")) == {None}, "of the database: told once"


def test_page_of_the_api_has_its_files(server: Installation) -> None:
    """Also where the administration, and its static files, are served by another process."""
    files = re.findall(r'(?:src|href)="(/[^"]*)"', asked(server, "/v1/docs").text)
    assert len(files) >= 4
    assert [(file, asked(server, file).status_code) for file in files] == [(file, 200) for file in files]


def test_worker_that_hangs_is_left_out(server: Installation) -> None:
    hanging, other = workers(server)
    os.kill(int(hanging), signal.SIGSTOP)
    try:
        eventually(lambda: told_by(server) == {None}, "the other tells its own", 20)
    finally:
        os.kill(int(hanging), signal.SIGCONT)
    eventually(lambda: told_by(server) == {hanging, other}, "both tell again")


def told_by(server: Installation) -> set[str | None]:
    try:
        return set(samples(server, "process_resident_memory_bytes"))
    except httpx.TimeoutException:  # the hanging worker had accepted the connection
        return set()


def test_killed_worker_leaves_no_metrics(server: Installation) -> None:
    killed = sorted(workers(server))[0]
    os.kill(int(killed), signal.SIGKILL)
    eventually(lambda: len(workers(server) - {killed}) == 2, "another has started", 20)
    eventually(lambda: told_by(server) == workers(server), "the two tell their metrics", 20)
    assert {path.name for path in folder(server).iterdir()} == workers(server)


def test_stopped_server_leaves_no_folder(server: Installation) -> None:
    left = folder(server)
    assert left.stat().st_mode & 0o777 == 0o700
    server.stop()
    assert not left.exists()


def folder(server: Installation) -> Path:
    return folder_of(server.processes["api"].pid)
