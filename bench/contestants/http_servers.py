"""Contestants of ``bench.serving``: Rapport by both adapters, Feast plain and precomputed, and a bare Django view."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from redis import Redis

from bench.contestants.peer_environment import environment_of
from bench.served_customers import FEATURES, PURPOSE, SERVICE
from devservers.ports import free_port
from devservers.redis_server import RedisServer
from devservers.results import ROOT
from devservers.wrk import Requests

CORE = 0
KEY = "BENCH_KEY"  # in the environment of a program of the bench
START_S, LOOK_S = 60, 0.02
GRANIAN = ["-m", "granian", "--interface", "wsgi", "--workers", "1", "--no-ws", "--log-level", "warning"]
MAKE_KEY = f"""
from featurestore.access.services import create_client, create_key, save_client
client = create_client("bench", owner="bench", actor="bench")
client.requests_per_s = 1_000_000
save_client(client, actor="bench")
print(create_key(client, services=["{SERVICE}"], purposes=["{PURPOSE}"], scopes=["features:read"], actor="bench")[1])
"""


class SharedServers:
    """What all contestants share: a Redis for the store, one for control, a database with an API key, a folder."""

    def __init__(self, folder: Path, customers: Sequence[str]) -> None:
        self.folder, self.customers = folder, customers
        self.store, self.control = RedisServer(folder / "store"), RedisServer(folder / "control", durable=True)
        self.store.start()
        self.control.start()
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("RAPPORT_")} | {
            "DJANGO_SETTINGS_MODULE": "adminsite.settings",
            "RAPPORT_SECRET_KEY": "a-key-of-the-bench-with-more-than-32-characters",
            "RAPPORT_SUBJECT_SECRET": "bench",
            "RAPPORT_DATABASE_URL": f"sqlite:///{folder / 'bench.sqlite3'}",
            "RAPPORT_STORE_URL": self.store.url,
            "RAPPORT_CONTROL_URL": self.control.url,
            "RAPPORT_PARTITIONS": "1",
        }
        self.run("manage.py", "migrate", "--noinput", "--verbosity", "0")
        self.key = self.run("manage.py", "shell", "--no-imports", "--command", MAKE_KEY).split()[-1]
        self.environment[KEY] = self.key

    def run(self, *arguments: str) -> str:
        """The output of one of the project's programs."""
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    def stop(self) -> None:
        self.store.stop()
        self.control.stop()


class Server:
    """A contestant. ``prefix`` begins its figures' names ("" is ours); ``path`` is that of its requests."""

    title = prefix = path = ""
    batches = True

    def __init__(self, servers: SharedServers) -> None:
        self.servers, self.port = servers, free_port()

    def prepare(self) -> None:
        """Write what it needs before it starts: by default nothing."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return self.servers.environment

    def headers(self) -> dict[str, str]:
        return {}

    def body(self, customers: Sequence[str]) -> bytes:
        """The request's body for one customer, or several at once."""
        raise NotImplementedError

    def requests(self, batch: int = 1) -> Requests:
        names = self.servers.customers
        groups = [names[start : start + batch] for start in range(0, len(names) - batch + 1, batch)]
        return Requests(
            self.port,
            self.path_of(batch),
            {"Content-Type": "application/json"} | self.headers(),
            [self.body(group) for group in groups],
        )

    def path_of(self, batch: int) -> str:
        return self.path

    @contextmanager
    def serving(self) -> Iterator[psutil.Process]:
        """Its process, on the contestants' core, after the first answer; ``ready_s`` is the time until that."""
        log = self.servers.folder / f"{type(self).__name__}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command(), cwd=ROOT, env=self.environment(), stdout=output, stderr=output,
                preexec_fn=lambda: os.sched_setaffinity(0, {CORE}),
            )  # fmt: skip
        began = time.monotonic()
        try:
            while not self.answers():
                assert process.poll() is None, f"{self.title} ended: {log.read_text(errors='replace')[-2000:]}"
                assert time.monotonic() < began + START_S, f"{self.title} does not answer, see {log}"
                time.sleep(LOOK_S)
            self.ready_s = time.monotonic() - began
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(START_S)

    def answers(self) -> bool:
        port, path, headers, bodies = self.requests()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("POST", path, bodies[0], headers)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


class FastPath(Server):
    """Rapport as it is shipped: feature reads by the fast path."""

    title = "Rapport, fast path"
    program: Sequence[str] = ("-m", "adminsite.serve")

    def command(self) -> list[str]:
        return [sys.executable, *self.program, "--port", str(self.port), "--drain-s", "0"]

    def environment(self) -> dict[str, str]:
        return self.servers.environment | {"RAPPORT_SERVES": "api"}

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.servers.key}"}

    def path_of(self, batch: int) -> str:
        return "/v1/features" if batch == 1 else "/v1/features/batch"

    def body(self, customers: Sequence[str], features: Sequence[str] = FEATURES) -> bytes:
        customer = {"customer_id": customers[0]} if len(customers) == 1 else {"customer_ids": list(customers)}
        return json.dumps({"service": SERVICE, "purpose": PURPOSE, "features": features, **customer}).encode()

    def requests_for(self, features: Sequence[str], customers: Sequence[str]) -> Requests:
        """Requests for other features, of other customers one by one."""
        return self.requests()._replace(bodies=[self.body([name], features) for name in customers])


class Ninja(FastPath):
    """Rapport's other adapter: the same process with Django and django-ninja before the handler."""

    title, prefix = "Rapport, django-ninja", "ninja_"
    program = ("-c", "from adminsite import serve; serve.main('bench.contestants.ninja:application')")


class Floor(Server):
    """A bare Django view with one redis-py GET."""

    title, prefix, path = "bare Django view, one GET", "floor_", "/features"
    batches = False

    def prepare(self) -> None:
        answer = json.dumps(dict.fromkeys(FEATURES, 1234.5))
        with Redis.from_url(self.servers.store.url) as redis:
            redis.mset({f"floor:{name}": answer for name in self.servers.customers})

    def command(self) -> list[str]:
        return [
            sys.executable, *GRANIAN, "--port", str(self.port), "--blocking-threads", "2",
            "bench.contestants.floor:application",
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        return self.servers.environment | {"FLOOR_REDIS": self.servers.store.url}

    def body(self, customers: Sequence[str]) -> bytes:
        return json.dumps({"customer_id": customers[0]}).encode()


class Feast(Server):
    """Feast's Python server with twenty stored doubles: no authentication, consent or window."""

    title, prefix, path = "Feast", "feast_", "/get-online-features"
    service = "plain"

    def prepare(self) -> None:
        self.repository = self.servers.folder / "feast"
        if not self.repository.exists():
            self.repository.mkdir()
            python = environment_of("feast") / "python"
            script = ROOT / "bench" / "contestants" / "feast_store.py"
            where = [str(self.repository), f"127.0.0.1:{self.servers.store.port}", str(len(self.servers.customers))]
            subprocess.run([python, script, *where], check=True, stdout=subprocess.DEVNULL)

    def command(self) -> list[str]:
        return [
            str(environment_of("feast") / "feast"), "--chdir", str(self.repository), "serve", "--workers", "1",
            "--no-access-log", "--max-requests", "0", "--keep-alive-timeout", "120", "--registry_ttl_sec", "300",
            "--port", str(self.port),
        ]  # fmt: skip

    def body(self, customers: Sequence[str]) -> bytes:
        entities = {"customer_id": list(customers)}
        body = {"feature_service": self.service, "entities": entities, "full_feature_names": True}
        return json.dumps(body).encode()


class PrecomputedFeast(Feast):
    """The same with a vector a customer that was computed before."""

    title, prefix, service = "Feast, precompute_online", "feast_precomputed_", "precomputed"


ROSTER: list[type[Server]] = [FastPath, Ninja, Floor, Feast, PrecomputedFeast]
