"""Waiting for what a contestant should do, and what goes on meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


@contextmanager
def meanwhile(act: Callable[[], object], every_s: float) -> Iterator[None]:
    """Have a thread do something again and again until the block ends."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(every_s):
            act()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
