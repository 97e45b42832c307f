"""Environment of chaos and load tests: real servers and all processes of an installation, supervised."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
from redis import Redis

from devservers.installation import Installation, answers, migrated_postgres
from devservers.kafka.broker import missing_programs
from devservers.postgres_server import programs
from devservers.waiting import eventually
from tests.chaos.members import StoreVerifier, Worker
from tests.chaos.process_clock import ProcessClock, missing_library
from tests.chaos.servers import Servers
from tests.chaos.supervisor import Start, SupervisedProcess

PARTITIONS = 4
SESSION_S = 3.0
CELERY = ("-m", "celery", "--app", "adminsite")
VERIFIER, API, FIRST_WORKER = "store-verifier", "api", "streams-1"
WITH_CLOCKS = (VERIFIER, API, FIRST_WORKER)
"""Processes whose clock can be set wrong."""
AUDIT_INTERVAL_S = 8


def missing_servers() -> str | None:
    """A text that names programs that this machine lacks; None if it has all."""
    return missing_programs() or (None if programs() else "PostgreSQL's server programs are not installed")


class ChaosEnvironment:
    """All servers and processes, by name in ``processes``. Faults add and remove ``spare``, a worker, and
    ``second_verifier``.

    ``clocks`` is empty where the machine has no libfaketime. ``single_worker``: one stream worker instead of two, plain
    servers, and no clocks.
    """

    def __init__(self, folder: Path, *, single_worker: bool = False) -> None:
        self.folder, self.single_worker = folder, single_worker
        self.processes: dict[str, SupervisedProcess] = {}
        self.workers: list[Worker] = []
        self.spare: Worker | None = None
        self.second_verifier: StoreVerifier | None = None
        self.clocks: dict[str, ProcessClock] = {}
        self._closing = ExitStack()

    def start(self) -> "ChaosEnvironment":
        """Start servers and processes, create database and topics; return when API and workers are ready."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        self.servers = Servers(self.folder, plain=self.single_worker)
        self.processes = self.servers.processes
        self._closing.callback(self.servers.stop)
        self.servers.start()
        self.installation = Installation(
            self.folder,
            kafka=self.servers.kafka_address,
            store=self.servers.store.url,
            control_url=self.servers.control.url,
            database=self.servers.database_url,
            partitions=PARTITIONS,
            stream_session_ms=round(SESSION_S * 1000),
            audit_interval_s=AUDIT_INTERVAL_S,
        )
        self._closing.callback(self.installation.stop)
        self.servers.database.restore("postgres", migrated_postgres(self.servers.database))
        self.installation.prepare()
        self.key = self.installation.make_key()
        if not (self.single_worker or missing_library()):
            self.clocks = {name: ProcessClock(self.folder / f"{name}.clock") for name in WITH_CLOCKS}
            self.installation.variables = {name: clock.variables for name, clock in self.clocks.items()}
        self._start_processes()
        self.wait_for_api()
        eventually(self.healthy, "every process runs and every worker is ready", within_s=120, every_s=0.2)

    def _start_processes(self) -> None:
        beat = ("beat", "--loglevel", "WARNING", "--schedule", str(self.folder / "beat"))
        for name, command in {
            API: self.installation.api_command,
            "celery": (*CELERY, "worker", "--loglevel", "WARNING", "--concurrency", "2"),
            "beat": (*CELERY, *beat),
        }.items():
            self.supervise(name, partial(self.installation.start, name, *command))
        self.verifier = self.add_verifier(VERIFIER)
        self.workers = [self.add_worker(f"streams-{number}") for number in ((1,) if self.single_worker else (1, 2))]

    def supervise(self, name: str, start: Start) -> None:
        self.processes[name] = SupervisedProcess(name, start)

    def wait_for_api(self) -> None:
        with self.client() as client:
            eventually(lambda: answers(client) and client.get("/readyz").status_code == 200, "the API is ready")

    def client(self, timeout_s: float = 10) -> httpx.Client:
        """A client of the API, with a key for everything."""
        return self.installation.client(self.key, timeout_s)

    def redis(self) -> Redis:
        """A connection to the store."""
        return Redis.from_url(self.servers.store.url)

    def add_worker(self, name: str) -> Worker:
        worker = Worker(self.installation, name)
        self.processes[name] = worker.process
        return worker

    def remove_spare(self) -> None:
        assert self.spare
        self.processes.pop(self.spare.name).remove()
        self.spare = None

    def add_verifier(self, name: str) -> StoreVerifier:
        verifier = StoreVerifier(self.installation, name, self.servers.proxy_of(self.servers.store.port))
        self.processes[name] = verifier.process
        return verifier

    def remove_second_verifier(self) -> None:
        assert self.second_verifier
        self.processes.pop(self.second_verifier.name).remove()
        self.second_verifier = None

    @property
    def generation(self) -> int:
        return int(str(self.installation.settings["generation"]))

    def start_generation(self, generation: int, start: str, command: Sequence[str]) -> None:
        """Set a new generation of topics for every process, run a command, and restart what uses topics."""
        self.installation.change_settings(generation=generation, generation_start=start)
        self.installation.run(*command)
        for name in (API, "celery", *(worker.name for worker in self.all_workers())):
            self.processes[name].kill()

    def all_workers(self) -> list[Worker]:
        return [*self.workers, *([self.spare] if self.spare else [])]

    def healthy(self) -> bool:
        """Whether every process runs and every worker is ready."""
        running = all(process.running for process in self.processes.values())
        return running and all(worker.ready() for worker in self.all_workers())

    def stop(self) -> None:
        """Stop the processes, then their servers."""
        for process in self.processes.values():
            process.release()
            process.resume()
            process.stop_supervising()
        self._closing.close()
