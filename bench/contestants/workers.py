"""Contestants of ``bench.streaming``: their topics, the commands of their workers, and readers of their results."""

import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import msgspec
import psutil
from confluent_kafka.admin import AdminClient, NewTopic

from bench.contestants.peer_environment import environment_of
from bench.contestants.shop import chat, registry
from bench.servers import PARTITIONS, WORKER_CORE, BenchServers
from devservers.ports import free_port
from devservers.results import ROOT
from featurestore import names
from featurestore.config import Settings
from featurestore.serving.reader import FeatureReader
from streams import topics

STOP_TIMEOUT_S = 20


class Contestant(ABC):
    """One turn of a contestant, with new topics. ``prefix`` begins the names of its figures."""

    title: ClassVar[str]
    prefix: ClassVar[str]
    changelog: str  # its changelog topics, as a glob

    def __init__(self, servers: BenchServers) -> None:
        servers.clear()
        self.servers = servers
        self.topic = f"{type(self).__name__.lower()}.g{servers.generation}"
        self.data = servers.folder / self.topic

    @abstractmethod
    def command(self) -> tuple[list[str], dict[str, str]]:
        """The command of its worker in the repository's folder, and additions to the environment."""

    @abstractmethod
    def key(self, subject: str) -> str:
        """The Redis key of a customer's results."""

    @abstractmethod
    def counts(self, subjects: list[str]) -> list[int]:
        """Each customer's number of purchases in 30 days, as a reader finds it."""

    def seen(self, subjects: list[str]) -> list[bool]:
        """Whether each customer has results."""
        pipeline = self.servers.redis.pipeline(transaction=False)
        for subject in subjects:
            pipeline.exists(self.key(subject))
        return [bool(answer) for answer in pipeline.execute()]

    def changelog_bytes(self) -> int:
        return self.servers.log_bytes(self.changelog)

    def state_bytes(self) -> int:
        """Size of its tables on disk, the write-ahead log included."""
        return sum(file.stat().st_size for file in self.data.rglob("*") if file.is_file())

    def _create(self, *wanted: str) -> None:
        admin = AdminClient({"bootstrap.servers": self.servers.broker.bootstrap})
        for future in admin.create_topics([NewTopic(name, PARTITIONS) for name in wanted]).values():
            future.result()


class Rapport(Contestant):
    """Our worker, as it is shipped."""

    title, prefix = "Rapport", ""

    def __init__(self, servers: BenchServers) -> None:
        super().__init__(servers)
        generation = servers.generation
        self.settings = Settings(
            store_url=servers.redis_server.url,
            kafka_bootstrap=servers.broker.bootstrap,
            partitions=PARTITIONS,
            generation=generation,
            stream_data_dir=self.data,
            stream_health_port=free_port(),
            stream_member=f"bench-{generation}",
        )
        self.topic, self.changelog = names.events("sales", generation), names.changelog("sales", generation)
        topics.apply(self.settings, registry.sources)

    def command(self) -> tuple[list[str], dict[str, str]]:
        values = {f"RAPPORT_{k.upper()}": str(v) for k, v in self.settings.model_dump(exclude_unset=True).items()}
        return [sys.executable, "-m", "bench.contestants.rapport"], values

    def key(self, subject: str) -> str:
        return "fs:{" + subject + "}"

    def seen(self, subjects: list[str]) -> list[bool]:
        pipeline = self.servers.redis.pipeline(transaction=False)
        for subject in subjects:
            pipeline.hlen(self.key(subject))
        return [fields > 1 for fields in pipeline.execute()]  # more than the permission

    def counts(self, subjects: list[str]) -> list[int]:
        now_ms = int(self.servers.redis.time()[0]) * 1000
        reader = FeatureReader(self.servers.store, PARTITIONS)
        answers = reader.read(chat, "service", subjects, now_ms=now_ms, timeout_ms=5_000)
        return [answer.features["spend_count_30d"] for answer in answers]


class PlainFaust(Contestant):
    """A Faust agent with a table, as its documentation has it."""

    title, prefix = "plain Faust", "plain_faust_"

    def __init__(self, servers: BenchServers) -> None:
        super().__init__(servers)
        self.changelog = f"{self.topic}-spend-changelog"
        self._create(self.topic, self.changelog)

    def command(self) -> tuple[list[str], dict[str, str]]:
        servers = self.servers
        return [sys.executable, "-m", "bench.contestants.plain_faust", "worker", "-l", "warn", "--without-web"], {
            "PLAIN_TOPIC": self.topic,
            "PLAIN_KAFKA": servers.broker.bootstrap,
            "PLAIN_REDIS": servers.redis_server.url,
            "PLAIN_DATA": str(self.data),
        }

    def key(self, subject: str) -> str:
        return f"plain:{subject}"

    def counts(self, subjects: list[str]) -> list[int]:
        return [int(self.servers.redis.hget(self.key(subject), "count_30d") or 0) for subject in subjects]


class Quix(Contestant):
    """Quix Streams with its state and a sink, in an environment of its own, set up for throughput."""

    title, prefix = "Quix Streams", "quix_"
    commit_s = 1.0

    def __init__(self, servers: BenchServers) -> None:
        super().__init__(servers)
        self.changelog = f"changelog__{self.topic}--*"
        self._create(self.topic)

    def command(self) -> tuple[list[str], dict[str, str]]:
        servers = self.servers
        return [str(environment_of("quix") / "python"), "-m", "bench.contestants.quix"], {
            "QUIX_TOPIC": self.topic,
            "QUIX_KAFKA": servers.broker.bootstrap,
            "QUIX_REDIS_PORT": str(servers.redis_server.port),
            "QUIX_DATA": str(self.data),
            "QUIX_COMMIT_S": str(self.commit_s),
        }

    def key(self, subject: str) -> str:
        return f"quix:{subject}"

    def counts(self, subjects: list[str]) -> list[int]:
        values = self.servers.redis.mget([self.key(subject) for subject in subjects])
        return [msgspec.json.decode(value)["count_30d"] if value else 0 for value in values]


class HurriedQuix(Quix):
    """Quix Streams set up for latency."""

    title, prefix = "Quix, hurried", "quix_hurried_"
    commit_s = 0.02


PEERS: list[type[Contestant]] = [PlainFaust, Quix, HurriedQuix]
ROSTER = [*PEERS, Rapport]


@contextmanager
def working(contestant: Contestant) -> Iterator[psutil.Process]:
    """The contestant's worker, on the workers' core. An AssertionError of the block shows the end of its log."""
    command, environment = contestant.command()
    log = contestant.servers.folder / f"{contestant.topic}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=output, stderr=output,
            preexec_fn=lambda: os.sched_setaffinity(0, {WORKER_CORE}),
        )  # fmt: skip
    try:
        yield psutil.Process(process.pid)
    except AssertionError:
        last_lines = log.read_text(encoding="utf-8", errors="replace")[-3_000:]
        print(f"{contestant.topic}: end of the log, exit code {process.poll()}:\n{last_lines}")
        raise
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
