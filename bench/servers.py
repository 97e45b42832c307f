"""Servers that every contestant of ``bench.streaming`` uses: one Kafka, one Redis; and the events it processes."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from redis import Redis

from bench.contestants.shop import Sale, sales
from devservers.kafka.broker import Broker
from devservers.redis_server import RedisServer
from featurestore.identity import partition_of, subject_of
from featurestore.permission import Permission, PurposePermission
from featurestore.store.protocol import new_incarnation
from featurestore.store.redis import RedisStore

PARTITIONS = 4
WORKER_CORE = 0
FOR_EVER_MS = 10**10
PERMITTED = 10_000  # permissions put at once
MEMORY = Path("/dev/shm")


class Record(NamedTuple):
    """An encoded event."""

    subject: str
    partition: int
    value: bytes


def record(subject: str, number: int, at: datetime) -> Record:
    """A customer's purchase; ``number`` is its identity and gives its amount."""
    data = Sale(kind="completed", amount=Decimal(number % 10_000) / 100)
    raw = sales.encode(id=str(number), source="bench", subject=subject, time=at, data=data)
    return Record(subject, partition_of(subject, PARTITIONS), raw)


def subjects_of(prefix: str, count: int) -> list[str]:
    return [subject_of(f"{prefix}-{i}", b"bench") for i in range(count)]


def by_partition(prefix: str) -> list[str]:
    """A subject of each partition."""
    found: dict[int, str] = {}
    for subject in subjects_of(prefix, 200):
        found.setdefault(partition_of(subject, PARTITIONS), subject)
    return list(found.values())


class BenchServers:
    """Servers with their files in ``folder``. ``generation`` numbers the turns, whose topics are all new."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.generation = folder, int(time.time())
        self.broker, self.redis_server = Broker(folder / "kafka"), RedisServer(folder / "redis")
        self.broker.start()
        self.redis_server.start()
        self.redis = Redis.from_url(self.redis_server.url)
        self.store = RedisStore(self.redis_server.url, 5_000)
        self.producer = Producer({"bootstrap.servers": self.broker.bootstrap, "linger.ms": 5, "acks": 1})
        self.clear()

    def clear(self) -> None:
        """Begin a turn: no topic, nothing in Redis but the vouch key."""
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap, "log_level": 0})
        ours = [topic for topic in admin.list_topics(timeout=10).topics if not topic.startswith("__")]
        for future in admin.delete_topics(ours).values() if ours else ():
            future.result()
        self.generation += 1
        self.redis.flushall()
        self.vouch()

    def vouch(self) -> None:
        """Vouch for Redis."""
        claim = new_incarnation(self.store.run())._replace(epoch=1)
        self.store.write_claim(claim, self.store.vouching_record().claim)
        self.store.vouch(claim, self.store.now_ms() + FOR_EVER_MS)

    def permit(self, subjects: list[str]) -> None:
        """Every customer allows the view's purpose, since before the first event."""
        since_ms = int((time.time() - 40 * 86_400) * 1000)
        allowed = Permission(1, 1, {"service": PurposePermission(True, 1, since_ms)})
        for start in range(0, len(subjects), PERMITTED):
            self.store.publish_permissions(dict.fromkeys(subjects[start : start + PERMITTED], allowed))

    def send(self, topic: str, records: Iterable[Record]) -> None:
        """Send records that are not measured, and wait until Kafka has them."""
        for subject, partition, value in records:
            while True:
                try:
                    self.producer.produce(topic, value, key=subject.encode(), partition=partition)
                    break
                except BufferError:
                    self.producer.poll(0.01)
        self.producer.flush()

    def log_bytes(self, topics: str) -> int:
        """Size of the logs of topics (a glob) as Kafka keeps them, of all partitions."""
        logs = self.broker.folder / "logs"
        return sum(file.stat().st_size for log in logs.glob(f"{topics}-[0-9]") for file in log.glob("*.log"))

    def stop(self) -> None:
        self.redis_server.stop()
        self.broker.stop()


@contextmanager
def bench_servers() -> Iterator[BenchServers]:
    """Servers with files in memory where the machine can; only workers use the workers' core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores - {WORKER_CORE} or cores)
    folder = Path(tempfile.mkdtemp(prefix="rapport-bench-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        servers = BenchServers(folder)
        try:
            yield servers
        finally:
            servers.stop()
    finally:
        shutil.rmtree(folder)
        os.sched_setaffinity(0, cores)
