"""One world under chat traffic: Locust in a process of its own, step by step, with every process watched."""

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

from featurestore.identity import subject_of
from tests.chaos.customers import Customer, register
from tests.chaos.environment import ChaosEnvironment
from devservers.installation import ROOT
from tests.load.customers import CUSTOMER_PREFIX
from tests.load.shop_events import ShopEvents
from tests.load.process_monitor import ProcessMonitor

CHAT = ROOT / "tests" / "load" / "chat.py"
GENERATOR = "locust"


class RequestStats(NamedTuple):
    """What callers saw of one kind of request. Milliseconds are Locust's: whole up to 100, then two digits."""

    requests: int
    failures: int
    per_s: float
    times_ms: dict[float, int]

    def quantile_ms(self, share: float) -> float:
        """The time within which this share of requests was answered."""
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
        return RequestStats(self.requests + other.requests, self.failures + other.failures, self.per_s + other.per_s, times)


NOTHING = RequestStats(0, 0, 0.0, {})


class LoadStep(NamedTuple):
    """So many conversations for a while: what callers saw, by kind, how they failed, and what it cost whom."""

    conversations: int
    asked: dict[str, RequestStats]
    errors: dict[str, int]
    watch: ProcessMonitor

    def reads(self) -> RequestStats:
        """The reads of conversations together."""
        return reduce(or_, (asked for name, asked in self.asked.items() if name.startswith("read to ")), NOTHING)

    @property
    def failures(self) -> int:
        return sum(asked.failures for asked in self.asked.values())


class LoadEnvironment:
    """A world with customers who agreed to everything, the shop's events, and whoever talks with them."""

    def __init__(self, world: ChaosEnvironment, people: int, events_per_s: float) -> None:
        made = world.installation
        self.world, self.folder, self.people = world, world.folder, people
        secret = str(made.settings["subject_secret"])
        names = [f"{CUSTOMER_PREFIX}{number}" for number in range(people)]
        customers = [Customer(name, subject_of(name, secret.encode()), changes_consent=False) for name in names]
        with world.client() as client:
            register(client, customers, random.Random(1))
        kafka, generation = str(made.settings["kafka_bootstrap"]), int(str(made.settings["generation"]))
        self.events = ShopEvents(kafka, generation, secret, names, events_per_s)

    def serve_with(self, workers: int) -> None:
        """The API anew, with so many processes."""
        made, world = self.world.installation, self.world
        world.processes.pop("api").remove()
        made.api_workers = workers
        world.supervise("api", lambda: made.start("api", *made.api_command))
        world.wait_for_api()

    def load(self, conversations: int, seconds: float, *, spawn_s: float = 5.0, every_s: float = 2.0) -> LoadStep:
        """Chat traffic for a while, after the users have come within ``spawn_s``."""
        made = self.world.installation
        stats, errors = self.folder / "locust.json", self.folder / "errors.json"
        options = [
            "--headless", "--only-summary", "--loglevel", "WARNING", "--reset-stats", "--exit-code-on-error", "0",
            "--users", str(conversations), "--spawn-rate", str(max(conversations / spawn_s, 1)),
            "--run-time", f"{seconds + spawn_s:.0f}s", "--stop-timeout", "10",
            "--host", f"http://127.0.0.1:{made.api_port}", "--streams", f"http://127.0.0.1:{made.sse_port}",
            "--people", str(self.people), "--json-file", str(stats.with_suffix("")), "--errors-file", str(errors),
            "--csv", str(self.folder / "locust"),
            "--html", str(self.folder / f"{conversations}-conversations-{made.api_workers}-workers.html"),
        ]  # fmt: skip
        command = [sys.executable, "-m", "locust", "-f", str(CHAT), *options]
        with (self.folder / "locust.log").open("ab") as log:
            locust = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | {"RAPPORT_KEY": self.world.key}, stdout=log, stderr=log
            )
        watch = ProcessMonitor(self.pids() | {GENERATOR: locust.pid}, spawn_s, seconds, every_s)
        watch.start()
        try:
            ended = locust.wait(seconds + spawn_s + 120)
        finally:
            locust.kill()
        watch.join()
        assert ended == 0, f"Locust ended with {ended}: {(self.folder / 'locust.log').read_text()[-2000:]}"
        return LoadStep(conversations, request_stats(stats, seconds), json.loads(errors.read_text(encoding="utf-8")), watch)

    def pids(self) -> dict[str, int]:
        supervised = {name: one.process.pid for name, one in self.world.processes.items()}
        return supervised | {"sse": self.world.installation.processes["sse"].pid}


@contextmanager
def load_environment(folder: Path, people: int, events_per_s: float) -> Iterator[LoadEnvironment]:
    """Everything that runs, and a town in it, until the block ends."""
    with ExitStack() as closing:
        world = ChaosEnvironment(folder, single_worker=True).start()
        closing.callback(world.stop)
        world.installation.start_sse()
        made = LoadEnvironment(world, people, events_per_s)
        made.events.start()
        closing.callback(made.events.stop)
        yield made


def request_stats(stats: Path, seconds: float) -> dict[str, RequestStats]:
    """What Locust measured in so many seconds, by name."""
    found = {}
    for entry in json.loads(stats.read_text(encoding="utf-8")):
        times = {float(took_ms): count for took_ms, count in entry["response_times"].items()}
        requests, failures = entry["num_requests"], entry["num_failures"]
        found[entry["name"]] = RequestStats(requests, failures, requests / seconds, times)
    return found
