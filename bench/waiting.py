"""Waiting for a contestant's worker, which must stay alive meanwhile."""

import time
from collections.abc import Callable

import psutil

DEADLINE_S = 300
LOOK_S = 0.005


def wait_until(what: str, happens: Callable[[], bool], worker: psutil.Process, within_s: float = DEADLINE_S) -> float:
    """The monotonic time at which it has happened. Fails, saying ``what`` did not, when the worker ends or is late."""
    deadline = time.monotonic() + within_s
    while not happens():
        assert worker.status() != psutil.STATUS_ZOMBIE, f"the worker ended before {what}"
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}"
        time.sleep(LOOK_S)
    return time.monotonic()
