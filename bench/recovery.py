"""Recovery: a worker that lost its disk reads the changelog, one that kept it the tail; a plain Faust table beside.

    make bench-recovery
    python -m bench.recovery --quick

Beside it, what else there is to bear: a fail-over, an orderly restart (``bench.failover``), a backlog of a million
events (``bench.backlog``).

The changelog holds one record a subject: the subject as key, and 200 to 300 random bytes, about what a customer with
some thirty windowed features has. Each worker has one core; Kafka runs where the machine puts it. The rate is that
between the assignment of the partitions and the recovered table; the seconds are from the start of the process.
"""

import argparse
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import psutil
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bench import backlog, failover
from bench.servers import WORKER_CORE, bench_servers
from devservers import results
from devservers.ports import free_port
from featurestore import names
from featurestore.config import Settings
from featurestore.identity import partition_of
from streams import topics

SOURCE = "sales"
PARTITIONS = 8
SUBJECTS = 1_000_000
PLAIN_SHARE = 10  # plain Faust reads a tenth of the subjects: it would take minutes
FAILOVERS = 5
BACKLOG = 1_000_000
DEADLINE_S = 300


class Start(NamedTuple):
    """One start of a worker: seconds until its table was whole, those after the assignment, CPU and memory then."""

    whole_s: float
    reading_s: float
    reading_cpu_s: float
    peak_mb: float


def fill(bootstrap: str, topic: str, subjects: int) -> None:
    """One record a subject, as a worker would have left them."""
    options = {"bootstrap.servers": bootstrap, "linger.ms": 50, "queue.buffering.max.messages": 500_000}
    producer = Producer({**options, "log_level": 0})
    drawn = random.Random(1)
    pool = drawn.randbytes(2**20)
    for _ in range(subjects):
        subject, start = drawn.randbytes(16).hex(), drawn.randrange(2**20 - 300)
        value = pool[start : start + drawn.randint(200, 300)]
        while True:
            try:
                partition = partition_of(subject, PARTITIONS)
                producer.produce(topic, value, subject.encode(), partition, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.05)
    producer.flush()


def delivered(error: object, _message: object) -> None:
    assert not error, error


def start(command: list[str], environment: Mapping[str, str], log: Path) -> Start:
    """Start a worker on its core, wait until it prints that its table is whole, and kill it."""
    began = time.monotonic()
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    os.sched_setaffinity(process.pid, {WORKER_CORE})
    assert process.stdout
    said: dict[str, float] = {}
    cpu_s: dict[str, float] = {}
    deadline = threading.Timer(DEADLINE_S, process.kill)
    deadline.start()
    try:
        for line in process.stdout:
            said.setdefault(line.strip(), time.monotonic())
            cpu_s.setdefault(line.strip(), sum(psutil.Process(process.pid).cpu_times()[:2]))
            if "recovered" in said:
                break
        assert "recovered" in said, f"the worker did not recover: {log.read_text(encoding='utf-8')[-3_000:]}"
        peak_mb = peak_memory_mb(process.pid)
    finally:
        deadline.cancel()
        process.kill()
        process.wait()
    reading_s, reading_cpu_s = (took["recovered"] - took["assigned"] for took in (said, cpu_s))
    return Start(said["recovered"] - began, reading_s, reading_cpu_s, peak_mb)


def peak_memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e3


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def rapport(bootstrap: str, folder: Path, subjects: int) -> dict[str, float]:
    """Our worker from nothing, and once more with its disk."""
    conf = Settings(
        kafka_bootstrap=bootstrap,
        partitions=PARTITIONS,
        generation=int(time.time()),
        stream_data_dir=folder / "tables",
        stream_health_port=free_port(),
        stream_member="bench",
        stream_lease=False,  # what is filled in faster than it is sent would be too old
    )
    topics.apply(conf, [SOURCE])
    fill(bootstrap, names.changelog(SOURCE, conf.generation), subjects)
    environment = {f"RAPPORT_{k.upper()}": str(v) for k, v in conf.model_dump(exclude_unset=True).items()}
    command = ["bench.contestants.recovering", SOURCE]
    from_nothing = start(command, environment, folder / "rapport.log")
    disk = size_of(folder / "tables")
    kept = start(command, environment, folder / "rapport.log")
    return {
        "recovery_records": subjects,
        "recovery_records_per_s": subjects / from_nothing.reading_s,
        "recovery_records_per_cpu_s": subjects / from_nothing.reading_cpu_s,
        "recovery_from_nothing_s": from_nothing.whole_s,
        "recovery_with_disk_s": kept.whole_s,
        "recovery_peak_rss_mb": from_nothing.peak_mb,
        "recovery_disk_bytes_per_subject": disk / subjects,
    }


def plain_faust(bootstrap: str, folder: Path, subjects: int) -> dict[str, float]:
    """A plain Faust table of the same records, from nothing."""
    name = f"plain.g{int(time.time())}"
    changelog = f"{name}-state-changelog"
    wanted = [NewTopic(name, PARTITIONS), NewTopic(changelog, PARTITIONS, config={"cleanup.policy": "compact"})]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics(wanted).values():
        future.result()
    fill(bootstrap, changelog, subjects)
    environment = {
        "PLAIN_TOPIC": name,
        "PLAIN_KAFKA": bootstrap,
        "PLAIN_DATA": str(folder / "plain"),
        "PLAIN_PARTITIONS": str(PARTITIONS),
    }
    command = ["bench.contestants.plain_recovering", "worker", "-l", "warn", "--without-web"]
    from_nothing = start(command, environment, folder / "plain.log")
    return {
        "plain_faust_recovery_records_per_s": subjects / from_nothing.reading_s,
        "plain_faust_recovery_records_per_cpu_s": subjects / from_nothing.reading_cpu_s,
    }


def measured(bootstrap: str, folder: Path, subjects: int = SUBJECTS) -> dict[str, float]:
    """All figures of recovery, on a Kafka that runs."""
    figures = rapport(bootstrap, folder, subjects) | plain_faust(bootstrap, folder, subjects // PLAIN_SHARE)
    ratio = figures["recovery_records_per_s"] / figures["plain_faust_recovery_records_per_s"]
    return figures | {"ratio_recovery_vs_plain_faust": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="a twentieth of everything, to see that it runs; writes nothing"
    )
    options = parser.parse_args()
    scale = 20 if options.quick else 1
    with bench_servers() as servers:
        figures = measured(servers.broker.bootstrap, servers.folder, SUBJECTS // scale)
        servers.clear()
        figures |= failover.measured(servers.broker.bootstrap, servers.folder, 1 if options.quick else FAILOVERS)
        figures |= backlog.measured(servers, BACKLOG // scale)
    results.report("recovery", figures, write_it=not options.quick)


if __name__ == "__main__":
    main()
