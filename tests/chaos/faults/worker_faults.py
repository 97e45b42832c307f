"""Faults of stream workers."""

import time
from collections.abc import Iterator

from tests.chaos.disturbance import ALL_PARTITIONS, Disturbance, FaultContext, wait_until
from tests.chaos.environment import SESSION_S

AWAY_S = 3 * SESSION_S  # for how long a worker is not restarted, at least
PAUSED_S = 2.5 * SESSION_S


def killed(context: FaultContext) -> Iterator[Disturbance]:
    worker = context.worker()
    partitions = worker.partitions()
    worker.process.kill()
    yield Disturbance(partitions)


def killed_and_away(context: FaultContext) -> Iterator[Disturbance]:
    """The other workers must serve its partitions, as it is not restarted before; then it is."""
    worker = context.worker()
    partitions = worker.partitions()
    worker.process.kill_and_hold()
    disturbance = Disturbance(partitions)
    yield disturbance
    wait_until(disturbance.at + AWAY_S)
    worker.process.release()


def disk_wiped(context: FaultContext) -> Iterator[Disturbance]:
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


def added(context: FaultContext) -> Iterator[Disturbance]:
    context.env.spare = context.env.add_worker("streams-3")
    yield Disturbance()


def removed(context: FaultContext) -> Iterator[Disturbance]:
    assert context.env.spare
    partitions = context.env.spare.partitions()
    context.env.remove_spare()
    yield Disturbance(partitions or ALL_PARTITIONS)
