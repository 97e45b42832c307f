"""A local installation: its own database, and the project's processes as child processes, with given servers."""

import atexit
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple, Protocol

import httpx

from devservers.ports import free_port
from devservers.postgres_server import PostgresServer
from devservers.waiting import eventually
from featurestore.config import Settings
from featurestore.servers.kafka import kafka_cluster

ROOT = Path(__file__).resolve().parents[1]
NO_SERVER = "127.0.0.1:1"
CLIENT = "tests"
MIGRATE = """
import django
from django.core.management import call_command
django.setup()
for command in ("migrate", "seed"):
    call_command(command)
"""
MAKE_KEY = """
from featurestore.access.scopes import Scope
from featurestore.access.services import create_client, create_key
from featurestore.installed_catalog import catalog
client = create_client({client!r}, owner="tests", actor="tests")
services, purposes = list(catalog().registry.services), [purpose.name for purpose in catalog().purposes]
allowance = {{"services": services, "purposes": purposes, "scopes": list(Scope)}}
open({path!r}, "w").write(create_key(client, actor="tests", **allowance)[1])
"""


class Process(Protocol):
    """Handle of a process."""

    pid: int

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...


def execute(
    arguments: Sequence[str], environment: Mapping[str, str], output: IO[Any], errors: IO[Any]
) -> "subprocess.Popen[bytes]":
    """Start Python in a process group of its own, so that its children can be killed with it, as in a container."""
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=errors, start_new_session=True)


class Installation:
    """Processes with one environment. ``folder`` has the database, the stream tables and a log of each process.

    ``launch`` starts Python; the tests have another way (tests/kit/forks.py).
    """

    launch: ClassVar[Callable[..., Process]] = staticmethod(execute)
    drain_s, idle_s = 0.0, 65.0
    api_workers = 1

    def __init__(self, folder: Path, *, kafka: str, store: str, database: str = "", **settings: object):
        self.folder, self.processes = folder, dict[str, Process]()
        self.database, self.keys = folder / "rapport.sqlite3", dict[str, str]()
        self.api_port, self.sse_port = free_port(), free_port()
        own = {
            "secret_key": "an-installation-of-the-tests-secret-key",
            "subject_secret": "an-installation-of-the-tests-subject-secret",
            "database_url": database or f"sqlite:///{self.database}",
            "key_store_url": f"sqlite:///{folder / 'keys.sqlite3'}",
            "store_url": store,
            "control_url": store.replace("/0", "/1"),
            "kafka_bootstrap": kafka,
            "partitions": 4,
            "generation": (number := time.time_ns() // 1_000_000_000),  # topics of its own on a broker that tests share
            "journal_topic": f"consent.journal.{number}" if kafka != NO_SERVER else "",
            "passed_by_topic": f"rapport.passed-by.{number}" if kafka != NO_SERVER else "",
            "stream_data_dir": folder / "streams",
            "stream_health_port": free_port(),
            "log_level": "INFO",
            "client_requests_per_s": 1_000_000,
        }
        self.settings = own | settings
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("RAPPORT_")}
        self.environment |= variables_of(self.settings)
        self.environment["DJANGO_SETTINGS_MODULE"] = "adminsite.settings"
        self.variables = dict[str, dict[str, str]]()  # of the environment of one process alone, by its name
        self.commands = dict[str, tuple[tuple[str | Path, ...], dict[str, object]]]()

    def change_settings(self, **settings: object) -> None:
        """Change settings of the processes that start from now on."""
        self.settings |= settings
        self.environment |= variables_of(settings)

    def manage(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a management command. Fails with its output."""
        return self.run("manage.py", *arguments)

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a Python program of the project. Fails with its output."""
        command = [*map(str, arguments)]
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            code = self.launch(command, self.environment, output, errors).wait()
            printed = [file.read() for file in (output, errors) if file.seek(0) == 0]
        assert code == 0, f"{arguments} ended with {code}:\n{printed[0]}\n{printed[1]}"
        return subprocess.CompletedProcess(command, code, *printed)

    def start(self, name: str, *arguments: str | Path, **settings: object) -> Process:
        """Start a process, with its log in NAME.log; ``settings`` apply to it alone."""
        self.commands[name] = (arguments, settings)
        environment = self.environment | variables_of(settings) | self.variables.get(name, {})
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = self.launch([*map(str, arguments)], environment, log, log)
        return self.processes[name]

    def restart(self, name: str) -> None:
        """Stop a process, and start it again with the settings as they are now."""
        self.stop(name)
        arguments, settings = self.commands[name]
        self.start(name, *arguments, **settings)

    def prepare(self) -> None:
        """Create database and topics."""
        self.prepare_database()
        self.run("-m", "streams", "topics", "apply")

    def prepare_database(self) -> None:
        """A migrated and seeded database: a copy of the template, unless it is another than the folder's SQLite."""
        if self.settings["database_url"] == f"sqlite:///{self.database}":
            shutil.copy(template().database, self.database)
            self.keys[CLIENT] = template().key
        else:
            self.migrate()

    def migrate(self) -> None:
        """Migrate and seed by the commands, and make the key of CLIENT, all in one process."""
        path = self.folder / f"{CLIENT}.key"
        self.run("-c", MIGRATE + MAKE_KEY.format(path=str(path), client=CLIENT))
        self.keys[CLIENT] = path.read_text()

    def start_store_verifier(self) -> None:
        self.start("store-verifier", "manage.py", "verify_store")

    def start_worker(self, name: str = "streams", **settings: object) -> None:
        self.start(name, "-m", "streams", "worker", **settings)

    def start_api(self) -> httpx.Client:
        """Start the API; a client of it, with a key for everything."""
        client = self.client(self.make_key())
        self.start("api", *self.api_command)
        eventually(lambda: answers(client), "the API answers")
        return client

    @property
    def api_command(self) -> tuple[str, ...]:
        where = ("--port", str(self.api_port), "--workers", str(self.api_workers))
        return "-m", "adminsite.serve", *where, "--drain-s", str(self.drain_s), "--idle-s", str(self.idle_s)

    def start_sse(self) -> None:
        """Start the process of event streams; return when it is ready."""
        self.start("sse", "-m", "adminsite.sse", "--port", str(self.sse_port), serves="api")
        ready = f"http://127.0.0.1:{self.sse_port}/readyz"
        eventually(lambda: succeeds(ready), "event streams are served")

    def kafka_options(self) -> dict[str, Any]:
        """librdkafka's options of a client that is no process of the installation."""
        named = {name: value for name, value in self.settings.items() if name.startswith("kafka_")}
        return kafka_cluster(Settings.model_validate(named)).librdkafka()

    def make_key(self, client: str = CLIENT) -> str:
        """Create a client with a key for everything; the key."""
        if client in self.keys:  # made with the database
            return self.keys.pop(client)
        path = self.folder / f"{client}.key"
        self.manage("shell", "-c", MAKE_KEY.format(path=str(path), client=client))
        return path.read_text()

    def client(self, key: str, timeout_s: float = 30) -> httpx.Client:
        """An HTTP client of the API."""
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.api_port}", headers=headers, timeout=timeout_s)

    def stop(self, *names: str) -> None:
        """Stop these processes, or all."""
        processes = [self.processes[name] for name in names or self.processes]
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=20)

    def logs(self, name: str) -> list[dict[str, Any]]:
        """A process's structured log lines."""
        lines = (self.folder / f"{name}.log").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def variables_of(settings: Mapping[str, object]) -> dict[str, str]:
    """The variables of the environment that hold settings."""
    return {f"RAPPORT_{name.upper()}": str(value) for name, value in settings.items()}


RUN_FOLDER = "RUN_FOLDER"
"""The variable of the environment that names a folder which processes of one test run share."""


@cache
def run_folder() -> Path:
    """The folder of the run; without one, of this process."""
    if named := os.environ.get(RUN_FOLDER):
        return Path(named)
    folder = Path(tempfile.mkdtemp(prefix="rapport-run-"))
    atexit.register(shutil.rmtree, folder)
    return folder


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """A file of the run. The first process that asks for it makes it at the path that ``make`` gets; others wait."""
    path = run_folder() / name
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            make(unfinished := path.with_suffix(".unfinished"))
            unfinished.rename(path)
    return path


def migrated_sqlite() -> Path:
    """An SQLite database after ``manage.py migrate``, to copy."""

    def migrate(path: Path) -> None:
        maker = Installation(
            run_folder(), kafka=NO_SERVER, store=f"redis://{NO_SERVER}/0", database=f"sqlite:///{path}"
        )
        maker.manage("migrate", "--noinput")

    return made_once("migrated.sqlite3", migrate)


def migrated_postgres(server: PostgresServer) -> Path:
    """Statements of pg_dump that make a new database of PostgreSQL what ``manage.py migrate`` makes it."""

    def migrate(path: Path) -> None:
        server.execute("CREATE DATABASE to_dump")
        url = server.url_of("to_dump")
        maker = Installation(run_folder(), kafka=NO_SERVER, store=f"redis://{NO_SERVER}/0", database=url)
        maker.manage("migrate", "--noinput")
        server.dump("to_dump", path)
        server.execute("DROP DATABASE to_dump")

    return made_once("migrated.sql", migrate)


class Template(NamedTuple):
    """A database to copy, and the key of its client."""

    database: Path
    key: str


@cache
def template() -> Template:
    """A migrated and seeded database, and the key of CLIENT in it."""

    def make(path: Path) -> None:
        path.mkdir()
        made = Installation(path, kafka=NO_SERVER, store=f"redis://{NO_SERVER}/0")
        shutil.copy(migrated_sqlite(), made.database)
        made.migrate()

    folder = made_once("seeded", make)
    return Template(folder / "rapport.sqlite3", (folder / f"{CLIENT}.key").read_text())


@contextlib.contextmanager
def installation(folder: Path, **options: Any) -> Iterator[Installation]:
    """An installation whose processes end with the block. On failure the ends of their logs are printed."""
    made = Installation(folder, **options)
    try:
        yield made
    except BaseException:
        for name in made.processes:
            log = (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-3_000:]
            print(f"--- end of the log of {name} (exit code {made.processes[name].poll()}):\n{log}")
        raise
    finally:
        made.stop()


def succeeds(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False
