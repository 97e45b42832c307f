"""Environment of chaos and load tests: real servers and all processes of an installation, supervised."""

import re
import shutil
import subprocess
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
from redis import Redis

from devservers.installation import Installation, answers
from devservers.kafka.broker import Broker, missing_programs
from devservers.ports import free_port
from devservers.postgres_server import PostgresServer, programs
from devservers.redis_server import RedisServer
from devservers.server import Server
from devservers.waiting import eventually
from tests.chaos.proxy import Proxy
from tests.chaos.supervisor import Start, SupervisedProcess

PARTITIONS = 8
SESSION_S = 3.0
LAG_PARTITION = re.compile(r'^rapport_stream_lag\{partition="(\d+)"', re.MULTILINE)
CELERY = ("-m", "celery", "--app", "adminsite")


def missing_servers() -> str | None:
    """A text that names programs that this machine lacks; None if it has all."""
    return missing_programs() or (None if programs() else "PostgreSQL's server programs are not installed")


class Worker:
    """A stream worker with its own name, data folder and health page."""

    def __init__(self, installation: Installation, name: str) -> None:
        self.name, self.port, self.data_folder = name, free_port(), installation.folder / name
        settings = {"stream_member": name, "stream_health_port": self.port, "stream_data_dir": self.data_folder}
        self.process = SupervisedProcess(name, lambda: installation.start(name, "-m", "streams", "worker", **settings))

    def ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def partitions(self) -> frozenset[int]:
        """The partitions assigned to it: its metrics have a lag of each."""
        metrics = httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=5).text
        return frozenset(map(int, LAG_PARTITION.findall(metrics)))

    def delete_data(self) -> None:
        """Delete its data folder. Only while the process is held."""
        shutil.rmtree(self.data_folder)


class ChaosEnvironment:
    """All servers and processes. ``processes`` by name; ``spare`` is a worker that faults add and remove.

    ``single_worker``: one stream worker instead of two, and no proxy between Kafka and its clients.
    """

    def __init__(self, folder: Path, *, single_worker: bool = False) -> None:
        self.folder, self.single_worker = folder, single_worker
        self.processes: dict[str, SupervisedProcess] = {}
        self.workers: list[Worker] = []
        self.spare: Worker | None = None
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
        self.broker = Broker(self.folder / "kafka", short_lived=True)
        if not self.single_worker:
            self.proxy = Proxy(self.broker.port)
            self.broker.advertised_port = self.proxy.port
            self.proxy.start()
            self._closing.callback(self.proxy.stop)
        self.store = RedisServer(self.folder / "store", durable=True)  # a restart keeps its data: the harder case
        control, database = RedisServer(self.folder / "control", durable=True), PostgresServer()
        self._closing.callback(shutil.rmtree, database.folder)
        for name, server in {
            "kafka": self.broker,
            "store": self.store,
            "control": control,
            "database": database,
        }.items():
            self.supervise(name, partial(start_server, server))
            self._closing.callback(server.stop)
        self.installation = Installation(
            self.folder,
            kafka=f"127.0.0.1:{self.broker.port if self.single_worker else self.proxy.port}",
            store=self.store.url,
            control_url=control.url,
            database=database.url,
            partitions=PARTITIONS,
            stream_session_ms=round(SESSION_S * 1000),
        )
        self._closing.callback(self.installation.stop)
        self.installation.prepare()
        self.key = self.installation.make_key()
        beat = ("beat", "--loglevel", "WARNING", "--schedule", str(self.folder / "beat"))
        for name, command in {
            "store-verifier": ("manage.py", "verify_store"),
            "api": self.installation.api_command,
            "celery": (*CELERY, "worker", "--loglevel", "WARNING", "--concurrency", "2"),
            "beat": (*CELERY, *beat),
        }.items():
            self.supervise(name, partial(self.installation.start, name, *command))
        self.workers = [self.add_worker(f"streams-{number}") for number in ((1,) if self.single_worker else (1, 2))]
        self.wait_for_api()
        eventually(self.healthy, "every process runs and every worker is ready", within_s=120, every_s=0.2)

    def wait_for_api(self) -> None:
        with self.client() as client:
            eventually(lambda: answers(client) and client.get("/readyz").status_code == 200, "the API is ready")

    def client(self, timeout_s: float = 10) -> httpx.Client:
        """A client of the API, with a key for everything."""
        return self.installation.client(self.key, timeout_s)

    def redis(self) -> Redis:
        """A connection to the store."""
        return Redis.from_url(self.store.url)

    def add_worker(self, name: str) -> Worker:
        worker = Worker(self.installation, name)
        self.processes[name] = worker.process
        return worker

    def remove_spare(self) -> None:
        assert self.spare
        self.processes.pop(self.spare.name).remove()
        self.spare = None

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

    def supervise(self, name: str, start: Start) -> None:
        self.processes[name] = SupervisedProcess(name, start)


def start_server(server: Server) -> "subprocess.Popen[bytes]":
    """Start a server; its process."""
    server.start()
    assert server.process
    return server.process
