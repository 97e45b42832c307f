"""Faults of clocks: one process's time of day is wrong by half a minute for a while."""

import time
from collections.abc import Iterator

from devservers.waiting import eventually
from tests.chaos.disturbance import Disturbance, FaultContext, wait_until
from tests.chaos.environment import API, FIRST_WORKER, VERIFIER
from tests.chaos.process_clock import REREAD_S

ERRORS_S = (-30, 30)


def worker_clock_wrong(context: FaultContext) -> Iterator[Disturbance]:
    """It ends when it notices, at the latest in a minute. While it is away, others serve its partitions."""
    clock, process = context.env.clocks[FIRST_WORKER], context.env.processes[FIRST_WORKER]
    clock.set_wrong(context.choices.choice(ERRORS_S))
    disturbance = Disturbance()
    over_at = disturbance.at + context.outage_s
    eventually(lambda: not process.running or time.monotonic() > over_at, "the worker ended, or the outage is over")
    process.kill_and_hold()
    yield disturbance
    clock.set_right()
    process.release()
    yield Disturbance()


def verifier_clock_wrong(context: FaultContext) -> Iterator[Disturbance]:
    """Nothing depends on it."""
    clock = context.env.clocks[VERIFIER]
    clock.set_wrong(context.choices.choice(ERRORS_S))
    disturbance = Disturbance()
    wait_until(disturbance.at + context.outage_s)
    yield disturbance
    clock.set_right()
    yield Disturbance()


def api_clock_wrong(context: FaultContext) -> Iterator[Disturbance]:
    """Its answers are of a wrong now, so that they are not fresh; what is denied stays denied."""
    clock = context.env.clocks[API]
    clock.set_wrong(context.choices.choice(ERRORS_S))
    disturbance = Disturbance()
    wait_until(disturbance.at + context.outage_s)
    clock.set_right()
    time.sleep(REREAD_S)
    yield disturbance
