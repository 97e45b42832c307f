"""Waiting for other processes: a condition is polled until a deadline."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


def eventually(happens: Callable[[], T], what: str, within_s: float = 60, every_s: float = 0.02) -> T:
    """The first true value of ``happens``. Fails at the deadline, saying what did not happen."""
    deadline = time.monotonic() + within_s
    while not (value := happens()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(every_s)
    return value


@contextmanager
def repeating(act: Callable[[], object], every_s: float) -> Iterator[None]:
    """Call ``act`` in a thread, ``every_s`` seconds apart, until the block ends."""
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
