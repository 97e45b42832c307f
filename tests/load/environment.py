"""Environment of the load tests: an installation under chat traffic by Locust, with every process monitored."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import reduce
from operator import or_
from pathlib import Path
from typing import NamedTuple

from devservers.installation import ROOT
from featurestore.identity import subject_of
from tests.chaos.customers import Customer, register
from tests.chaos.environment import ChaosEnvironment
from tests.load.customers import CUSTOMER_PREFIX
from tests.load.process_monitor import ProcessMonitor
from tests.load.shop_events import ShopEvents

CHAT = ROOT / "tests" / "load" / "chat.py"
GENERATOR = "locust"


class RequestStats(NamedTuple):
    """Locust's statistics of one kind of request. Milliseconds are whole up to 100, then rounded to two digits."""

    requests: int
    failures: int
    per_s: float
    times_ms: dict[float, int]

    def quantile_ms(self, share: float) -> float:
        """The time within which this share of the requests was answered."""
        left = share * sum(self.times_ms.values())
        for took_ms in sorted(self.times_ms):
            left -= self.times_ms[took_ms]
            if left <= 0:
                return took_ms
        return 0.0

    def __or__(self, other: "RequestStats") -> "RequestStats":
        times = {
            took: self.times_ms.get(took, 0) + other.times_ms.get(took, 0) for took in self.times_ms | other.times_ms
        }
        return RequestStats(
            self.requests + other.requests, self.failures + other.failures, self.per_s + other.per_s, times
        )


NOTHING = RequestStats(0, 0, 0.0, {})


class LoadStep(NamedTuple):
    """Result of a number of conversations for a while: statistics by kind of request, errors, resource use."""

    conversations: int
    stats: dict[str, RequestStats]
    errors: dict[str, int]
    monitor: ProcessMonitor

    def reads(self) -> RequestStats:
        """All reads of conversations together."""
        return reduce(or_, (one for name, one in self.stats.items() if name.startswith("read to ")), NOTHING)

    @property
    def failures(self) -> int:
        return sum(one.failures for one in self.stats.values())


class LoadEnvironment:
    """An installation with customers who consent to everything, the simulated shop's events, and chat traffic."""

    def __init__(self, servers: ChaosEnvironment, customers: int, events_per_s: float) -> None:
        installation = servers.installation
        self.servers, self.folder, self.customers = servers, servers.folder, customers
        secret = str(installation.settings["subject_secret"])
        names = [f"{CUSTOMER_PREFIX}{number}" for number in range(customers)]
        registered = [Customer(name, subject_of(name, secret.encode()), changes_consent=False) for name in names]
        with servers.client() as client:
            register(client, registered, random.Random(1))
        kafka, generation = str(installation.settings["kafka_bootstrap"]), int(str(installation.settings["generation"]))
        self.events = ShopEvents(kafka, generation, secret, names, events_per_s)

    def serve_with(self, workers: int) -> None:
        """Restart the API with this number of processes."""
        installation, servers = self.servers.installation, self.servers
        servers.processes.pop("api").remove()
        installation.api_workers = workers
        servers.supervise("api", lambda: installation.start("api", *installation.api_command))
        servers.wait_for_api()

    def run(self, conversations: int, seconds: float, *, spawn_s: float = 5.0, every_s: float = 2.0) -> LoadStep:
        """Run chat traffic for ``seconds``, after all users have started within ``spawn_s``."""
        installation = self.servers.installation
        stats, errors = self.folder / "locust.json", self.folder / "errors.json"
        options = [
            "--headless", "--only-summary", "--loglevel", "WARNING", "--reset-stats", "--exit-code-on-error", "0",
            "--users", str(conversations), "--spawn-rate", str(max(conversations / spawn_s, 1)),
            "--run-time", f"{seconds + spawn_s:.0f}s", "--stop-timeout", "10",
            "--host", f"http://127.0.0.1:{installation.api_port}", "--streams", f"http://127.0.0.1:{installation.sse_port}",
            "--customers", str(self.customers), "--json-file", str(stats.with_suffix("")), "--errors-file", str(errors),
            "--csv", str(self.folder / "locust"),
            "--html", str(self.folder / f"{conversations}-conversations-{installation.api_workers}-workers.html"),
        ]  # fmt: skip
        command = [sys.executable, "-m", "locust", "-f", str(CHAT), *options]
        with (self.folder / "locust.log").open("ab") as log:
            locust = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | {"RAPPORT_KEY": self.servers.key}, stdout=log, stderr=log
            )
        monitor = ProcessMonitor(self.pids() | {GENERATOR: locust.pid}, spawn_s, seconds, every_s)
        monitor.start()
        try:
            ended = locust.wait(seconds + spawn_s + 120)
        finally:
            locust.kill()
        monitor.join()
        assert ended == 0, f"Locust ended with {ended}: {(self.folder / 'locust.log').read_text()[-2000:]}"
        return LoadStep(
            conversations, request_stats(stats, seconds), json.loads(errors.read_text(encoding="utf-8")), monitor
        )

    def pids(self) -> dict[str, int]:
        supervised = {name: one.process.pid for name, one in self.servers.processes.items()}
        return supervised | {"sse": self.servers.installation.processes["sse"].pid}


@contextmanager
def load_environment(folder: Path, customers: int, events_per_s: float) -> Iterator[LoadEnvironment]:
    """A LoadEnvironment, running until the block ends."""
    with ExitStack() as closing:
        servers = ChaosEnvironment(folder, single_worker=True).start()
        closing.callback(servers.stop)
        servers.installation.start_sse()
        env = LoadEnvironment(servers, customers, events_per_s)
        env.events.start()
        closing.callback(env.events.stop)
        yield env


def request_stats(stats: Path, seconds: float) -> dict[str, RequestStats]:
    """Locust's statistics of a run of this many seconds, by name."""
    found = {}
    for entry in json.loads(stats.read_text(encoding="utf-8")):
        times = {float(took_ms): count for took_ms, count in entry["response_times"].items()}
        requests, failures = entry["num_requests"], entry["num_failures"]
        found[entry["name"]] = RequestStats(requests, failures, requests / seconds, times)
    return found
