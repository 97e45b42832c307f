"""What is done to the world, one function a fault. It yields a blow whenever something must be served again."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.chaos.world import PARTITIONS, SESSION_S, Worker, World

EVERY = frozenset(range(PARTITIONS))
AWAY_S = 10.0  # how long a worker that stays away does so, at least
FROZEN_S = 2.5 * SESSION_S


@dataclass(frozen=True)
class Blow:
    """Struck at a monotonic time. ``partitions`` must be served again; ``purges``: what carries those out must."""

    partitions: frozenset[int] = EVERY
    purges: bool = False
    at: float = field(default_factory=time.monotonic)


class Setting(NamedTuple):
    """What faults are done to, and with. ``outage_s``: how long the broker can't be reached."""

    world: World
    choices: random.Random
    outage_s: float

    def worker(self) -> Worker:
        return self.choices.choice(self.world.workers)


Inflict = Callable[[Setting], Iterator[Blow]]


def worker_killed(it: Setting) -> Iterator[Blow]:
    worker = it.worker()
    owned = worker.partitions()
    worker.supervised.kill()
    yield Blow(owned)


def worker_killed_and_away(it: Setting) -> Iterator[Blow]:
    """Its partitions are served by the others, as it does not come back before they are; then it returns."""
    worker = it.worker()
    owned = worker.partitions()
    worker.supervised.kill_and_hold()
    blow = Blow(owned)
    yield blow
    wait_until(blow.at + AWAY_S)
    worker.supervised.release()


def worker_disk_wiped(it: Setting) -> Iterator[Blow]:
    worker = it.worker()
    owned = worker.partitions()
    worker.supervised.kill_and_hold()
    blow = Blow(owned)
    worker.wipe()
    worker.supervised.release()
    yield blow


def zombie(it: Setting) -> Iterator[Blow]:
    """Stopped for longer than its session, it goes on believing that its partitions are its own."""
    worker = it.worker()
    owned = worker.partitions()
    worker.supervised.pause()
    blow = Blow(owned)
    yield blow
    wait_until(blow.at + FROZEN_S)
    worker.supervised.resume()
    while time.monotonic() < blow.at + FROZEN_S + 2 * SESSION_S:  # it may look well before it learns the truth
        yield Blow()


def worker_added(it: Setting) -> Iterator[Blow]:
    it.world.spare = it.world.add_worker("streams-3")
    yield Blow()


def worker_removed(it: Setting) -> Iterator[Blow]:
    assert it.world.spare
    owned = it.world.spare.partitions()
    it.world.remove_spare()
    yield Blow(owned or EVERY)


def broker_killed(it: Setting) -> Iterator[Blow]:
    it.world.processes["kafka"].kill()
    yield Blow()


def broker_unreachable(it: Setting) -> Iterator[Blow]:
    """Nothing gets through to it or back for a while; then all that was sent meanwhile does."""
    it.world.proxy.cut()
    blow = Blow()
    threading.Timer(it.outage_s, it.world.proxy.mend).start()
    yield blow


def store_killed(it: Setting) -> Iterator[Blow]:
    it.world.processes["store"].kill()
    yield Blow()


def store_emptied(it: Setting) -> Iterator[Blow]:
    with it.world.redis() as redis:
        redis.flushall()
    yield Blow()


def worker_and_store_killed(it: Setting) -> Iterator[Blow]:
    worker = it.worker()
    worker.supervised.kill()
    it.world.processes["store"].kill()
    yield Blow()


def killed(name: str, *, purges: bool = False) -> Inflict:
    """SIGKILL of one process, which its supervisor starts again."""

    def fault(it: Setting) -> Iterator[Blow]:
        it.world.processes[name].kill()
        yield Blow(purges=purges)

    return fault


FAULTS: dict[str, Inflict] = {
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
