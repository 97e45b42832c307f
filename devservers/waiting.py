"""The one way in which tests wait for other processes: polled, with a deadline, never for a length of time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(happens: Callable[[], T], what: str, within_s: float = 60, every_s: float = 0.02) -> T:
    """The first true value of ``happens``. Fails at the deadline, saying what did not happen."""
    deadline = time.monotonic() + within_s
    while not (value := happens()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(every_s)
    return value
