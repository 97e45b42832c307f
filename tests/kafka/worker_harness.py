"""Harness for worker processes: topics of a generation of their own, workers, a producer, a reader of changelogs."""

import itertools
import json
import os
import random
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

from devservers.ports import free_port
from devservers.waiting import eventually
from featurestore import names
from featurestore.config import Settings
from streams import topics
from tests.kit import forks

generations = itertools.count(os.getpid() * 100)


class WorkerProcess:
    """A counting worker in a process of its own, and the lines that it printed."""

    def __init__(self, harness: "WorkerHarness", member: str, **environment: str) -> None:
        self.member = member
        self.port = free_port()
        self.log = harness.folder / f"{member}.log"
        own = {"RAPPORT_STREAM_MEMBER": member, "RAPPORT_STREAM_HEALTH_PORT": str(self.port)}
        environment = {**os.environ, **harness.environment, **own, **environment}
        reading, writing = os.pipe()
        with open(writing, "w") as output, self.log.open("ab") as errors:
            command = ["-m", "tests.kafka.counting_worker", *harness.sources]
            self.process = forks.launch(command, environment, output, errors)
        self._output = open(reading)  # noqa: SIM115  (its reader closes it)
        self.lines: list[list[str]] = []
        threading.Thread(target=self._read_lines, daemon=True).start()

    def _read_lines(self) -> None:
        with self._output:
            for line in self._output:
                self.lines.append(line.split(" "))

    def log_end(self) -> str:
        """The last 20 lines of its log."""
        return "\n".join(self.log.read_text().splitlines()[-20:])

    def printed(self, word: str) -> list[list[str]]:
        """The other words of each line whose first word ends with ``word``."""
        return [line[1:] for line in self.lines if line[0].endswith(word)]

    def assigned(self) -> dict[str, list[int]]:
        """Partitions by topic, of the last assignment."""
        printed = self.printed("assigned")
        return json.loads(" ".join(printed[-1])) if printed else {}

    def ready(self) -> tuple[bool, list[str]]:
        """Whether it is ready, and the reasons why not; not ready while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return True, json.load(answer)["reasons"]
        except urllib.error.HTTPError as error:
            return False, json.load(error)["reasons"]
        except OSError:
            return False, []

    def metric(self, name: str) -> float:
        """A metric, summed over its labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def wait_ready(self) -> "WorkerProcess":
        eventually(lambda: self.ready()[0] or self.process.poll() is not None, f"{self.member} ready")
        assert self.process.poll() is None, f"{self.member} ended with {self.process.returncode}: {self.log_end()}"
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


@dataclass
class WorkerHarness:
    """Topics, workers and the produced events. ``truth``: their number by source and key, ``sums`` their sums."""

    bootstrap: str
    folder: Path
    tables: str = "memory"
    sources: tuple[str, ...] = ("orders",)
    partitions: int = 4
    settings: dict[str, str] = field(default_factory=dict)
    truth: dict[str, Counter[str]] = field(default_factory=dict)
    sums: dict[str, Counter[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.generation = next(generations)
        self.environment = {
            "RAPPORT_KAFKA_BOOTSTRAP": self.bootstrap,
            "RAPPORT_PARTITIONS": str(self.partitions),
            "RAPPORT_GENERATION": str(self.generation),
            "RAPPORT_STREAM_TABLES": self.tables,
            "RAPPORT_STREAM_DATA_DIR": str(self.folder / "data"),
            "RAPPORT_LOG_LEVEL": "INFO",
            **self.settings,
        }
        self.workers: list[WorkerProcess] = []
        self.random = random.Random(self.generation)
        self.producer = Producer({"bootstrap.servers": self.bootstrap, "partitioner": "murmur2_random", "log_level": 0})

    def conf(self) -> Settings:
        fields = {name.removeprefix("RAPPORT_").lower(): value for name, value in self.environment.items()}
        return Settings(**fields)  # type: ignore[arg-type]

    def make_topics(self) -> "WorkerHarness":
        topics.apply(self.conf(), self.sources)
        return self

    def worker(self, member: str, **environment: str) -> WorkerProcess:
        started = WorkerProcess(self, member, **environment)
        self.workers.append(started)
        return started

    def produce(self, number: int, source: str = "orders", keys: int = 300) -> None:
        """Write events with random keys, acknowledged."""
        self.produce_to((f"k{self.random.randrange(keys)}" for _ in range(number)), source)

    def produce_to(self, keys: Iterable[str], source: str = "orders") -> None:
        """Write an event to each of these keys, acknowledged."""
        topic = names.events(source, self.generation)
        for key in keys:
            value = self.random.randrange(1000)
            self.truth.setdefault(source, Counter())[key] += 1
            self.sums.setdefault(source, Counter())[key] += value
            self.producer.produce(topic, str(value), key, on_delivery=delivered)
            self.producer.poll(0)
        self.producer.flush()

    def produce_raw(self, value: bytes, partition: int = 0, source: str = "orders") -> None:
        topic = names.events(source, self.generation)
        self.producer.produce(topic, value, "raw", partition, on_delivery=delivered)
        self.producer.flush()

    def fill_changelog(self, keys: int, source: str = "orders") -> None:
        """Write the changelog of a worker that counted one event of each key, acknowledged."""
        topic, state = names.changelog(source, self.generation), {"count": 1, "sum": 0, "offset": -1}
        for key in (f"k{number}" for number in range(keys)):
            self.truth.setdefault(source, Counter())[key] += 1
            self.sums.setdefault(source, Counter())[key] += 0
            self.producer.produce(topic, json.dumps(state), key, on_delivery=delivered)
            self.producer.poll(0)
        self.producer.flush()

    def read(self, topic: str) -> Iterator[Any]:
        """Every message of a topic up to its present end."""
        options = {"bootstrap.servers": self.bootstrap, "group.id": "reader", "enable.auto.commit": False}
        consumer = Consumer({**options, "auto.offset.reset": "earliest"})
        ends = self.ends(topic)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
        while ends:  # a compacted topic has fewer messages than offsets, but it keeps the last
            for message in consumer.consume(10_000, timeout=0.2):
                assert not message.error()
                yield message
                if message.offset() >= ends.get(message.partition(), 0) - 1:
                    ends.pop(message.partition(), None)
        consumer.close()

    def ends(self, topic: str) -> dict[int, int]:
        """The offset after the last message of each partition that has any."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader"})
        topic_partitions = [TopicPartition(topic, partition) for partition in range(self.partitions)]
        offsets = {tp.partition: consumer.get_watermark_offsets(tp) for tp in topic_partitions}
        consumer.close()
        return {partition: high for partition, (low, high) in offsets.items() if high > low}

    def delete_topic(self, topic: str) -> None:
        """Delete a topic, and return when the cluster has forgotten it."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        for deleted in admin.delete_topics([topic]).values():
            deleted.result(20)
        eventually(lambda: topic not in admin.list_topics(timeout=10).topics, f"{topic} deleted")

    def make_anew(self, topic: str) -> None:
        """Delete a topic and create it again under its name, as no command of ours does."""
        self.delete_topic(topic)
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        for created in admin.create_topics([NewTopic(topic, self.partitions, 1)]).values():
            created.result(20)
        eventually(lambda: topic in admin.list_topics(timeout=10).topics, f"{topic} made anew")

    def compact_eagerly(self, source: str = "orders") -> None:
        """Let the broker compact all of a changelog that is older than a moment."""
        eager = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0"}
        entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in eager.items()]
        topic = names.changelog(source, self.generation)
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        changes = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
        for altered in admin.incremental_alter_configs([changes]).values():
            altered.result(10)

    def compacted(self, source: str = "orders") -> int:
        """How many records of a changelog compaction has removed."""
        topic = names.changelog(source, self.generation)
        written = sum(self.ends(topic).values())
        return max(0, written - sum(1 for _ in self.read(topic)))

    def counted(self, source: str = "orders") -> dict[str, dict[str, int]]:
        """State by key in the changelog; a key in two partitions is an error."""
        latest: dict[str, Any] = {}
        for message in self.read(names.changelog(source, self.generation)):
            key = message.key().decode()
            if key.startswith("\0"):
                continue  # of the partition, not of a subject
            assert latest.get(key, message).partition() == message.partition()
            if key not in latest or latest[key].offset() < message.offset():
                latest[key] = message
        return {key: json.loads(message.value()) for key, message in latest.items()}

    def exact(self, source: str = "orders") -> bool:
        """Whether the counted events are the produced ones."""
        counted = self.counted(source)
        found = {key: (state["count"], state["sum"]) for key, state in counted.items()}
        return found == {key: (count, self.sums[source][key]) for key, count in self.truth[source].items()}

    def wait_exact(self, source: str = "orders") -> None:
        """Wait until every event is counted; one that was counted twice fails."""
        produced = sum(self.truth[source].values())
        total = 0

        def all_counted() -> bool:
            nonlocal total
            total = sum(state["count"] for state in self.counted(source).values())
            return total >= produced

        eventually(all_counted, f"{produced} events of {source} counted", every_s=0.25)
        assert self.exact(source), f"{total} counted of {produced} produced"

    def close(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()


def delivered(error: Any, _message: Any) -> None:
    assert not error, error
