"""A real Celery worker and beat: health page, and metrics of all task processes at the main one's port."""

import os
import signal
from collections.abc import Iterator

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from devservers.installation import NO_SERVER, Installation, installation, succeeds
from devservers.ports import free_port
from devservers.waiting import eventually
from featurestore.api.process_metrics import folder_of

pytestmark = pytest.mark.redis
TASKS = 2


class Watched:
    """A Celery worker with two task processes, and beat."""

    def __init__(self, made: Installation) -> None:
        self.made, self.ports = made, {"celery": free_port(), "beat": free_port()}
        command = ["-m", "celery", "--app", "adminsite"]
        self.worker = made.start(
            "celery", *command, "worker", "--concurrency", str(TASKS), health_port=self.ports["celery"]
        )
        schedule = made.folder / "beat"
        made.start("beat", *command, "beat", "--schedule", schedule, "--pidfile", "", health_port=self.ports["beat"])
        for port in self.ports.values():
            eventually(lambda port=port: succeeds(f"http://127.0.0.1:{port}/healthz"), f"port {port} answers")

    def metrics(self, name: str) -> str:
        return httpx.get(f"http://127.0.0.1:{self.ports[name]}/metrics", timeout=20).text

    def samples(self, metric: str) -> dict[str, float]:
        """The sum of a metric's samples by process."""
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(self.metrics("celery")):
            for sample in family.samples:
                if sample.name == metric:
                    process = sample.labels.get("process", "")
                    found[process] = found.get(process, 0) + sample.value
        return found

    def processes(self) -> set[str]:
        """Ids of the main process and the task processes."""
        children = psutil.Process(self.worker.pid).children()
        return {str(self.worker.pid), *(str(child.pid) for child in children)}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, redis_server: str) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("celery")
    with installation(folder, kafka=NO_SERVER, store=redis_server, journal_topic="") as made:
        made.prepare_database()
        yield Watched(made)


def test_metrics_are_of_every_process(watched: Watched) -> None:
    eventually(lambda: set(watched.samples("process_resident_memory_bytes")) == watched.processes(), "all answer")
    assert len(watched.processes()) == 1 + TASKS


def test_tasks_are_counted_where_they_run(watched: Watched) -> None:
    eventually(lambda: sum(watched.samples("rapport_tasks_total").values()) > 2, "beat's tasks are counted")
    counted = {process for process, count in watched.samples("rapport_tasks_total").items() if count}
    assert counted <= watched.processes() - {str(watched.worker.pid)}
    assert 'state="SUCCESS"' in watched.metrics("celery")
    assert 'task="consent.relay"' in watched.metrics("celery")


def test_beat_has_metrics_of_its_own(watched: Watched) -> None:
    assert "process_cpu_seconds_total" in watched.metrics("beat")


def test_killed_task_process_is_replaced_by_one_that_answers(watched: Watched) -> None:
    killed = sorted(watched.processes() - {str(watched.worker.pid)})[0]
    os.kill(int(killed), signal.SIGKILL)
    eventually(lambda: len(watched.processes() - {killed}) == 1 + TASKS, "another has started")
    eventually(
        lambda: (
            killed not in (told := set(watched.samples("process_resident_memory_bytes")))
            and told == watched.processes()
        ),
        "the new one tells its metrics, and the killed one none",
    )


def test_stopped_worker_leaves_no_folder_and_a_free_port(watched: Watched) -> None:
    folder = folder_of(watched.worker.pid)
    assert folder.stat().st_mode & 0o777 == 0o700
    task_processes = [psutil.Process(int(number)) for number in watched.processes() - {str(watched.worker.pid)}]
    held = {connection.laddr.port for process in task_processes for connection in process.net_connections()}
    assert watched.ports["celery"] not in held, "a task process would hold the port when the main one has ended"
    watched.worker.terminate()
    watched.worker.wait(60)
    assert not folder.exists()
