"""Streaming, side by side: our worker and a plain Faust agent, the same job on the same Kafka and Redis, in turn.

    python -m bench.streaming [--rounds 3] [--quick]

Each worker has one core; Kafka, Redis and the load run where the machine puts them, and files are kept in memory. A
round fills a new topic, starts a worker, and times from the first to the last event seen in Redis; then events are sent
at a steady rate and each is looked for until it can be read. Ratios are medians over rounds of the same run: absolute
figures are this machine's.
"""

import argparse
import itertools
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from redis import Redis

from bench import report
from bench.contestants.shop import Sale, registry, sales
from deploy.kafka.broker import Broker
from deploy.ports import free_port
from deploy.redis_server import RedisServer
from featurestore import names
from featurestore.config import Settings
from featurestore.identity import partition_of, subject_of
from featurestore.online.redis import RedisStore
from featurestore.permission import Grant, Permission
from streams import topics

PARTITIONS = 4
CUSTOMERS = 5_000
WORKER_CORE = 0
DEADLINE_S = 120
LOOKED_FOR = 64  # events at once, the oldest: looking must not cost more than folding


class Surroundings:
    """Kafka, Redis, a voucher and customers who all agreed."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.broker, self.redis_server = Broker(folder / "kafka"), RedisServer(folder / "redis")
        self.broker.start()
        self.redis_server.start()
        self.redis = Redis.from_url(self.redis_server.url)
        self.store = RedisStore(self.redis_server.url, 5_000)
        self.producer = Producer({"bootstrap.servers": self.broker.bootstrap, "linger.ms": 0, "acks": 1})
        run = self.store.run()
        self.store.claim(run, 1, 0)
        self.ended = threading.Event()
        threading.Thread(target=self._vouch, args=(run,), daemon=True).start()

    def _vouch(self, run: object) -> None:
        store = RedisStore(self.redis_server.url, 5_000)
        while not self.ended.wait(0.5):
            store.vouch(run, 5_000)

    def permit(self, subjects: list[str]) -> None:
        since_ms = int((time.time() - 40 * 86_400) * 1000)
        allowed = Permission(1, 1, {"service": Grant(True, 1, since_ms)})
        self.store.put_permissions(dict.fromkeys(subjects, allowed))

    def settings(self, generation: int) -> Settings:
        return Settings(
            store_url=self.redis_server.url,
            kafka_bootstrap=self.broker.bootstrap,
            partitions=PARTITIONS,
            generation=generation,
            stream_data_dir=self.folder / f"tables{generation}",
            stream_health_port=free_port(),
            stream_member=f"bench-{generation}",
        )

    def send(self, topic: str, subject: str, number: int, at: datetime) -> None:
        amount = Decimal(number % 10_000) / 100
        raw = sales.encode(
            id=str(number), source="bench", subject=subject, time=at, data=Sale(kind="completed", amount=amount)
        )
        while True:
            try:
                partition = partition_of(subject, PARTITIONS)
                return self.producer.produce(topic, raw, key=subject.encode(), partition=partition)
            except BufferError:
                self.producer.poll(0.01)

    def forget(self) -> None:
        """Delete every topic of a turn, so that compacting it does not slow the next."""
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap, "log_level": 0})
        ours = [topic for topic in admin.list_topics(timeout=10).topics if not topic.startswith("__")]
        for future in admin.delete_topics(ours).values() if ours else ():
            future.result()

    def stop(self) -> None:
        self.ended.set()
        self.redis_server.stop()
        self.broker.stop()


class Rapport:
    """Our worker."""

    def __init__(self, around: Surroundings, generation: int):
        self.around, self.settings = around, around.settings(generation)
        topics.apply(self.settings, registry.sources)
        self.topic = names.events("sales", generation)

    def command(self) -> tuple[list[str], dict[str, str]]:
        values = {f"RAPPORT_{k.upper()}": str(v) for k, v in self.settings.model_dump(exclude_unset=True).items()}
        return [sys.executable, "-m", "bench.contestants.rapport"], values

    def seen(self, subjects: list[str]) -> list[bool]:
        pipeline = self.around.redis.pipeline(transaction=False)
        for subject in subjects:
            pipeline.hexists("fs:{" + subject + "}", "spend/service")
        return pipeline.execute()

    def changelog_bytes(self) -> int:
        """Size of what the changelog topics got."""
        reader = Consumer({"bootstrap.servers": self.settings.kafka_bootstrap, "group.id": "size"})
        topic, size = names.changelog("sales", self.settings.generation), 0
        for partition in range(PARTITIONS):
            low, high = reader.get_watermark_offsets(TopicPartition(topic, partition))
            reader.assign([TopicPartition(topic, partition, low)])
            read = 0
            while read < high - low:
                for message in reader.consume(5_000, timeout=10):
                    size, read = size + len(message.key()) + len(message.value() or b""), read + 1
        reader.close()
        return size


class PlainFaust:
    """The plain Faust agent."""

    def __init__(self, around: Surroundings, generation: int):
        self.around, self.topic = around, f"plain.g{generation}"
        self.data = around.folder / self.topic
        admin = AdminClient({"bootstrap.servers": around.broker.bootstrap})
        wanted = [NewTopic(name, PARTITIONS) for name in (self.topic, f"{self.topic}-spend-changelog")]
        for future in admin.create_topics(wanted).values():
            future.result()

    def command(self) -> tuple[list[str], dict[str, str]]:
        around = self.around
        return [sys.executable, "-m", "bench.contestants.plain_faust", "worker", "-l", "warn", "--without-web"], {
            "PLAIN_TOPIC": self.topic,
            "PLAIN_KAFKA": around.broker.bootstrap,
            "PLAIN_REDIS": around.redis_server.url,
            "PLAIN_DATA": str(self.data),
        }

    def seen(self, subjects: list[str]) -> list[bool]:
        pipeline = self.around.redis.pipeline(transaction=False)
        for subject in subjects:
            pipeline.exists(f"plain:{subject}")
        return [bool(answer) for answer in pipeline.execute()]


Contestant = Rapport | PlainFaust


@contextmanager
def working(contestant: Contestant) -> Iterator[psutil.Process]:
    """The contestant's worker, alone on its core."""
    command, environment = contestant.command()
    log = (contestant.around.folder / f"{contestant.topic}.log").open("wb")
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
    os.sched_setaffinity(process.pid, {WORKER_CORE})
    try:
        yield psutil.Process(process.pid)
    except AssertionError:
        words = Path(log.name).read_text(encoding="utf-8", errors="replace")[-3_000:]
        print(f"{contestant.topic}: last words, ended with {process.poll()}:\n{words}")
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()


def subjects_of(prefix: str, count: int) -> list[str]:
    return [subject_of(f"{prefix}-{i}", b"bench") for i in range(count)]


def throughput(contestant: Contestant, events: int) -> tuple[float, float]:
    """Events a second from the first to the last one seen in Redis, and the worker's memory in MB then."""
    around, customers = contestant.around, subjects_of("customer", CUSTOMERS)
    ends = {place: by_partition(f"{contestant.topic}-{place}") for place in ("first", "last")}
    around.permit([*customers, *ends["first"], *ends["last"]])
    around.redis.delete(*(f"plain:{s}" for s in customers))
    now = datetime.now(UTC)
    for i, subject in enumerate(ends["first"]):
        around.send(contestant.topic, subject, 10**9 + i, now)
    for i in range(events):  # a customer's events lie over the last month, in order
        around.send(contestant.topic, customers[i * 7 % CUSTOMERS], i, now - timedelta(days=30 * (1 - i / events)))
    for i, subject in enumerate(ends["last"]):
        around.send(contestant.topic, subject, 10**9 + 10 + i, now)
    around.producer.flush()
    with working(contestant) as process:
        began = wait_until(lambda: any(contestant.seen(ends["first"])), process)
        ended = wait_until(lambda: all(contestant.seen(ends["last"])), process)
        return events / (ended - began), process.memory_info().rss / 1e6


def by_partition(prefix: str) -> list[str]:
    """A subject of each partition."""
    found: dict[int, str] = {}
    for subject in subjects_of(prefix, 200):
        found.setdefault(partition_of(subject, PARTITIONS), subject)
    return list(found.values())


def latencies_ms(contestant: Contestant, rate: int, seconds: int) -> list[float]:
    """From before an event is sent until its customer's value is in Redis, of every event sent at a steady rate."""
    around, count = contestant.around, rate * seconds
    subjects = subjects_of(f"{contestant.topic}-{rate}", count + PARTITIONS * 50)
    around.permit(subjects)
    with working(contestant) as process:
        for i, subject in enumerate(subjects[count:]):
            around.send(contestant.topic, subject, 10**8 + i, datetime.now(UTC))
        around.producer.flush()
        wait_until(lambda: all(contestant.seen(subjects[count:])), process)
        sent: dict[str, float] = {}
        sender = threading.Thread(target=send_steadily, args=(contestant, subjects[:count], rate, sent))
        sender.start()
        took: list[float] = []
        deadline = time.monotonic() + seconds + 30
        while sender.is_alive() or sent:
            waiting = list(
                itertools.islice(tuple(sent), LOOKED_FOR)
            )  # the oldest: looking must not cost more than folding
            for subject, seen in zip(waiting, contestant.seen(waiting), strict=True):
                if seen:
                    took.append((time.monotonic() - sent.pop(subject)) * 1000)
            assert time.monotonic() < deadline, f"{len(sent)} events were not seen"
            time.sleep(0.001)
        sender.join()
        return took


def send_steadily(contestant: Contestant, subjects: list[str], rate: int, sent: dict[str, float]) -> None:
    began = time.monotonic()
    for i, subject in enumerate(subjects):
        while (early_s := began + i / rate - time.monotonic()) > 0:
            time.sleep(min(early_s, 0.001))
        sent[subject] = time.monotonic()
        contestant.around.send(contestant.topic, subject, i, datetime.now(UTC))
        contestant.around.producer.poll(0)
    contestant.around.producer.flush()


def wait_until(happens: Callable[[], bool], process: psutil.Process) -> float:
    deadline = time.monotonic() + DEADLINE_S
    while not happens():
        assert process.status() != psutil.STATUS_ZOMBIE, "the worker ended"
        assert time.monotonic() < deadline, "the worker did not get there in time"
        time.sleep(0.005)
    return time.monotonic()


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the events: to see that it runs")
    options = parser.parse_args()
    scale = 10 if options.quick else 1
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="rapport-bench-", dir=memory if memory.is_dir() else None))
    around = Surroundings(folder)
    generation = int(time.time())
    figures: dict[str, float] = {}
    try:
        rates: dict[type, list[float]] = {Rapport: [], PlainFaust: []}
        for turn in range(options.rounds):
            for kind, events in ((PlainFaust, 15_000 // scale), (Rapport, 100_000 // scale)):
                contestant = kind(around, generation := generation + 1)
                rate, memory_mb = throughput(contestant, events)
                rates[kind].append(rate)
                print(f"round {turn + 1}: {kind.__name__:<10} {rate:>9,.0f} events/s  {memory_mb:.0f} MB", flush=True)
                if isinstance(contestant, Rapport):
                    figures["worker_rss_mb"] = memory_mb
                    figures["changelog_bytes_per_event"] = contestant.changelog_bytes() / events
                around.forget()
        ratios = [ours / plain for ours, plain in zip(rates[Rapport], rates[PlainFaust], strict=True)]
        figures["events_per_s_core"] = statistics.median(rates[Rapport])
        figures["plain_faust_events_per_s_core"] = statistics.median(rates[PlainFaust])
        figures["ratio_vs_plain_faust"] = statistics.median(ratios)
        for kind, prefix, rate in ((Rapport, "", 200), (Rapport, "", 2_000), (PlainFaust, "plain_faust_", 200)):
            took = latencies_ms(kind(around, generation := generation + 1), rate, max(20 // scale, 4))
            for share, label in ((0.5, "p50"), (0.99, "p99"), (0.999, "p99_9")):
                figures[f"{prefix}produce_to_readable_{label}_ms_{rate}"] = quantile(took, share)
            around.forget()
            p50, p99 = quantile(took, 0.5), quantile(took, 0.99)
            print(f"{kind.__name__:<10} at {rate}/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms of {len(took):,}", flush=True)
        print(f"ratio to plain Faust: {figures['ratio_vs_plain_faust']:.1f}")
        if not options.quick:
            print(report.write("streaming", figures))
    finally:
        around.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
