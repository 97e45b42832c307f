"""Faults: one generator function each. It yields a Disturbance from which fresh values must be served again."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.chaos.environment import PARTITIONS, SESSION_S, ChaosEnvironment, Worker

ALL_PARTITIONS = frozenset(range(PARTITIONS))
AWAY_S = 10.0  # for how long a worker is not restarted, at least
PAUSED_S = 2.5 * SESSION_S


@dataclass(frozen=True)
class Disturbance:
    """Disturbance at a monotonic time. ``partitions`` must be served again; ``purges``: and purges be sent again."""

    partitions: frozenset[int] = ALL_PARTITIONS
    purges: bool = False
    at: float = field(default_factory=time.monotonic)


class FaultContext(NamedTuple):
    """Input of a fault. ``outage_s``: for how long the broker is unreachable."""

    env: ChaosEnvironment
    choices: random.Random
    outage_s: float

    def worker(self) -> Worker:
        return self.choices.choice(self.env.workers)


Fault = Callable[[FaultContext], Iterator[Disturbance]]


def worker_killed(context: FaultContext) -> Iterator[Disturbance]:
    worker = context.worker()
    partitions = worker.partitions()
    worker.process.kill()
    yield Disturbance(partitions)


def worker_killed_and_away(context: FaultContext) -> Iterator[Disturbance]:
    """The other workers must serve its partitions, as it is not restarted before; then it is."""
    worker = context.worker()
    partitions = worker.partitions()
    worker.process.kill_and_hold()
    disturbance = Disturbance(partitions)
    yield disturbance
    wait_until(disturbance.at + AWAY_S)
    worker.process.release()


def worker_disk_wiped(context: FaultContext) -> Iterator[Disturbance]:
    worker = context.worker()
    partitions = worker.partitions()
    worker.process.kill_and_hold()
    disturbance = Disturbance(partitions)
    worker.delete_data()
    worker.process.release()
    yield disturbance


def zombie(context: FaultContext) -> Iterator[Disturbance]:
    """Paused for longer than its session, it then still treats its partitions as its own."""
    worker = context.worker()
    partitions = worker.partitions()
    worker.process.pause()
    disturbance = Disturbance(partitions)
    yield disturbance
    wait_until(disturbance.at + PAUSED_S)
    worker.process.resume()
    # It may seem ready before it learns that it lost them.
    while time.monotonic() < disturbance.at + PAUSED_S + 2 * SESSION_S:
        yield Disturbance()


def worker_added(context: FaultContext) -> Iterator[Disturbance]:
    context.env.spare = context.env.add_worker("streams-3")
    yield Disturbance()


def worker_removed(context: FaultContext) -> Iterator[Disturbance]:
    assert context.env.spare
    partitions = context.env.spare.partitions()
    context.env.remove_spare()
    yield Disturbance(partitions or ALL_PARTITIONS)


def broker_killed(context: FaultContext) -> Iterator[Disturbance]:
    context.env.processes["kafka"].kill()
    yield Disturbance()


def broker_unreachable(context: FaultContext) -> Iterator[Disturbance]:
    """No byte passes between it and its clients for a while; then what was sent meanwhile arrives."""
    context.env.proxy.cut()
    disturbance = Disturbance()
    threading.Timer(context.outage_s, context.env.proxy.restore).start()
    yield disturbance


def store_killed(context: FaultContext) -> Iterator[Disturbance]:
    context.env.processes["store"].kill()
    yield Disturbance()


def store_emptied(context: FaultContext) -> Iterator[Disturbance]:
    with context.env.redis() as redis:
        redis.flushall()
    yield Disturbance()


def worker_and_store_killed(context: FaultContext) -> Iterator[Disturbance]:
    worker = context.worker()
    worker.process.kill()
    context.env.processes["store"].kill()
    yield Disturbance()


def killed(name: str, *, purges: bool = False) -> Fault:
    """SIGKILL of one process, which its supervisor restarts."""

    def fault(context: FaultContext) -> Iterator[Disturbance]:
        context.env.processes[name].kill()
        yield Disturbance(purges=purges)

    return fault


FAULTS: dict[str, Fault] = {
    "worker killed": worker_killed,
    "worker killed, stays away": worker_killed_and_away,
    "worker a zombie": zombie,
    "worker's disk wiped": worker_disk_wiped,
    "worker added": worker_added,
    "worker removed": worker_removed,
    "broker killed": broker_killed,
    "broker unreachable": broker_unreachable,
    "store killed": store_killed,
    "store emptied": store_emptied,
    "worker and store killed": worker_and_store_killed,
    "database killed": killed("database"),
    "API killed": killed("api"),
    "store verifier killed": killed("store-verifier"),
    "Celery worker killed": killed("celery", purges=True),
    "Celery beat killed": killed("beat", purges=True),
    "control Redis killed": killed("control", purges=True),
}


def wait_until(at: float) -> None:
    time.sleep(max(0.0, at - time.monotonic()))
