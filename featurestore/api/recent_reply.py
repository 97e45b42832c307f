"""Recent reply of a public page: made again once it is old, by one thread at a time, so that requests are no load."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from featurestore.api.errors import Unavailable
from featurestore.api.reply import Reply

MAX_AGE_S = 0.5
FIRST_WAIT_S = 2.0
"""Longest wait for the first reply of the process. After it, a request gets the old reply while another is made."""


class Held(NamedTuple):
    """A reply and when it was made, on the monotonic clock."""

    made_s: float
    reply: Reply


class RecentReply:
    """The last reply of ``make``. Safe to share among threads; a slow ``make`` keeps one of them at most."""

    def __init__(self, make: Callable[[], Reply], clock: Callable[[], float] = time.monotonic) -> None:
        self._make, self._clock = make, clock
        self._making = threading.Lock()
        self._held: Held | None = None

    def get(self) -> Reply:
        """A reply that is at most MAX_AGE_S old, or the last one. Raises Unavailable before there is a first."""
        if self._is_recent() or not self._making.acquire(timeout=0 if self._held else FIRST_WAIT_S):
            if self._held is None:
                raise Unavailable("The page is being made.")
            return self._held.reply
        try:
            if not self._is_recent():  # made by the thread before
                self._held = Held(self._clock(), self._make())
            assert self._held is not None
            return self._held.reply
        finally:
            self._making.release()

    def _is_recent(self) -> bool:
        return self._held is not None and self._clock() - self._held.made_s < MAX_AGE_S
