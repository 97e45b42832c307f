"""The world: real servers and all processes of an installation, supervised as in production."""

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
from tests.chaos.supervisor import Start, Supervised

PARTITIONS = 8
SESSION_S = 3.0
OWNED = re.compile(r'^rapport_stream_lag\{partition="(\d+)"', re.MULTILINE)
CELERY = ("-m", "celery", "--app", "adminsite")


def missing() -> str | None:
    """What this machine lacks for a world."""
    return missing_programs() or (None if programs() else "PostgreSQL's server programs are not installed")


class Worker:
    """A stream worker with a name, a disk and a health page of its own."""

    def __init__(self, made: Installation, name: str) -> None:
        self.name, self.port, self.disk = name, free_port(), made.folder / name
        settings = {"stream_member": name, "stream_health_port": self.port, "stream_data_dir": self.disk}
        self.supervised = Supervised(name, lambda: made.start(name, "-m", "streams", "worker", **settings))

    def ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def partitions(self) -> frozenset[int]:
        """The partitions it owns: it tells a lag of each."""
        metrics = httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=5).text
        return frozenset(map(int, OWNED.findall(metrics)))

    def wipe(self) -> None:
        """What its disk held is gone. Only while it is held."""
        shutil.rmtree(self.disk)


class World:
    """Everything that runs. ``processes`` by name; ``spare`` is the worker that comes and goes.

    ``undisturbed``: nothing comes between Kafka and its clients, and there is one stream worker.
    """

    def __init__(self, folder: Path, *, undisturbed: bool = False) -> None:
        self.folder, self.undisturbed = folder, undisturbed
        self.processes: dict[str, Supervised] = {}
        self.workers: list[Worker] = []
        self.spare: Worker | None = None
        self._closing = ExitStack()

    def start(self) -> "World":
        """Servers, database, topics, processes; returns when the API and both workers are ready."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        self.broker = Broker(self.folder / "kafka")
        if not self.undisturbed:
            self.proxy = Proxy(self.broker.port)
            self.broker.advertised_port = self.proxy.port
            self.proxy.start()
            self._closing.callback(self.proxy.stop)
        self.store = RedisServer(self.folder / "store", durable=True)  # comes back with what it knew: the harder case
        control, database = RedisServer(self.folder / "control", durable=True), PostgresServer()
        self._closing.callback(shutil.rmtree, database.folder)
        for name, server in {
            "kafka": self.broker,
            "store": self.store,
            "control": control,
            "database": database,
        }.items():
            self.supervise(name, partial(started, server))
            self._closing.callback(server.stop)
        self.made = Installation(
            self.folder,
            kafka=f"127.0.0.1:{self.broker.port if self.undisturbed else self.proxy.port}",
            store=self.store.url,
            control_url=control.url,
            database=database.url,
            partitions=PARTITIONS,
            stream_session_ms=round(SESSION_S * 1000),
        )
        self._closing.callback(self.made.stop)
        self.made.prepare()
        self.key = self.made.make_key()
        beat = ("beat", "--loglevel", "WARNING", "--schedule", str(self.folder / "beat"))
        for name, command in {
            "store-verifier": ("manage.py", "verify_store"),
            "api": self.made.api_command,
            "celery": (*CELERY, "worker", "--loglevel", "WARNING", "--concurrency", "2"),
            "beat": (*CELERY, *beat),
        }.items():
            self.supervise(name, partial(self.made.start, name, *command))
        self.workers = [self.add_worker(f"streams-{number}") for number in ((1,) if self.undisturbed else (1, 2))]
        self.wait_for_api()
        eventually(self.whole, "every process runs and every worker is ready", within_s=120, every_s=0.2)

    def wait_for_api(self) -> None:
        with self.client() as client:
            eventually(lambda: answers(client) and client.get("/readyz").status_code == 200, "the API is ready")

    def client(self, timeout_s: float = 10) -> httpx.Client:
        """A client of the API."""
        return self.made.client(self.key, timeout_s)

    def redis(self) -> Redis:
        """The store, directly."""
        return Redis.from_url(self.store.url)

    def add_worker(self, name: str) -> Worker:
        worker = Worker(self.made, name)
        self.processes[name] = worker.supervised
        return worker

    def remove_spare(self) -> None:
        assert self.spare
        self.processes.pop(self.spare.name).remove()
        self.spare = None

    def all_workers(self) -> list[Worker]:
        return [*self.workers, *([self.spare] if self.spare else [])]

    def whole(self) -> bool:
        """Whether every process runs and every worker is ready."""
        running = all(process.running for process in self.processes.values())
        return running and all(worker.ready() for worker in self.all_workers())

    def stop(self) -> None:
        """Stop everything, the processes before their servers."""
        for supervised in self.processes.values():
            supervised.release()
            supervised.resume()
            supervised.abandon()
        self._closing.close()

    def supervise(self, name: str, start: Start) -> None:
        self.processes[name] = Supervised(name, start)


def started(server: Server) -> "subprocess.Popen[bytes]":
    """The process of a server that answers."""
    server.start()
    assert server.process
    return server.process
