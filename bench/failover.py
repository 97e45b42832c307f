"""Seconds that partitions wait for a worker: after one of two is killed, and while one is restarted in order.

Events come all the while. Counted is until the first event of one of its partitions is handled: after SIGKILL by the
other worker, after SIGTERM by the worker itself, started again at once by its supervisor.
"""

import os
import statistics
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager
from itertools import cycle
from pathlib import Path

from confluent_kafka import Producer

from devservers.ports import free_port
from devservers.waiting import repeating
from featurestore import names
from featurestore.config import Settings
from streams import topics

SOURCE = "sales"
PARTITIONS = 8
EVERY_S = 0.01
DEADLINE_S = 60


class Worker:
    """A worker process, and the partitions that it handled events of."""

    def __init__(self, conf: Settings, folder: Path, member: str) -> None:
        self.conf, self.folder, self.member = conf, folder, member
        self.start()

    def start(self) -> None:
        own = {"stream_member": self.member, "stream_health_port": free_port()}
        values = self.conf.model_dump(exclude_unset=True) | own
        self.handled: set[int] = set()
        with (self.folder / f"{self.member}.log").open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.contestants.handling", SOURCE],
                env={**os.environ, **{f"RAPPORT_{name.upper()}": str(value) for name, value in values.items()}},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        threading.Thread(target=self._listen, args=(self.process, self.handled), daemon=True).start()

    @staticmethod
    def _listen(process: "subprocess.Popen[str]", handled: set[int]) -> None:
        assert process.stdout
        for line in process.stdout:
            handled.add(int(line))


def events(conf: Settings) -> AbstractContextManager[None]:
    """An event for one partition after the other."""
    producer = Producer({"bootstrap.servers": conf.kafka_bootstrap, "log_level": 0})
    topic, partitions = names.events(SOURCE, conf.generation), cycle(range(PARTITIONS))

    def produce() -> None:
        producer.produce(topic, b"{}", partition=next(partitions))
        producer.poll(0)

    return repeating(produce, EVERY_S)


def until(worker: Worker, partitions: set[int]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not partitions & worker.handled:
        assert time.monotonic() < deadline, f"{worker.member} does not serve {sorted(partitions)}"
        time.sleep(0.002)


def settled(*workers: Worker) -> list[set[int]]:
    """The partitions of each worker, once every partition is served by one worker and each has some."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        for worker in workers:
            worker.handled.clear()
        time.sleep(1)
        shares = [set(worker.handled) for worker in workers]
        if all(shares) and sorted(partition for share in shares for partition in share) == list(range(PARTITIONS)):
            return shares
        assert time.monotonic() < deadline, f"the workers do not share the partitions: {shares}"


def orderly_restart_s(stays: Worker, goes: Worker) -> float:
    theirs, mine = settled(stays, goes)
    began = time.monotonic()
    goes.process.terminate()
    assert goes.process.wait(DEADLINE_S) == 0
    goes.start()
    until(goes, mine)
    took_s = time.monotonic() - began
    assert stays.handled == theirs, "the other worker was disturbed"
    return took_s


def failover_s(stays: Worker, goes: Worker) -> float:
    _, mine = settled(stays, goes)
    began = time.monotonic()
    goes.process.kill()
    until(stays, mine)
    took_s = time.monotonic() - began
    goes.process.wait()
    goes.start()
    return took_s


def measured(bootstrap: str, folder: Path, rounds: int) -> dict[str, float]:
    """Seconds, the median and the longest of ``rounds``, on a Kafka that runs."""
    conf = Settings(
        kafka_bootstrap=bootstrap,
        partitions=PARTITIONS,
        generation=int(time.time()),
        stream_data_dir=folder / "failover",
    )
    topics.apply(conf, [SOURCE])
    stays, goes = Worker(conf, folder, "stays"), Worker(conf, folder, "goes")
    try:
        with events(conf):
            took = {
                measured.__name__: [measured(stays, goes) for _ in range(rounds)]
                for measured in (orderly_restart_s, failover_s)
            }
    finally:
        for worker in (stays, goes):
            worker.process.kill()
    longest = {f"{figure.removesuffix('_s')}_longest_s": max(seconds) for figure, seconds in took.items()}
    return {figure: statistics.median(seconds) for figure, seconds in took.items()} | longest
