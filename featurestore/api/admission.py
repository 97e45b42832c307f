"""Admission control: limits of requests at work at once. Above them a request is refused at once; no queue grows.

Feature reads, writes of events and all other requests have limits of their own: decisions that wait for a slow database
keep no read waiting, and writes only wait for Kafka, which takes many at once.
Event streams need none: their process bounds them by its threads.
The server has a thread for every connection, or requests would queue before they reach admission control.
"""

import threading
from collections import deque

from featurestore.api.errors import Overloaded

MAX_WAIT_S = 0.1


class ConcurrencyLimit:
    """Limit of requests at work at once (``running``) and of requests that wait for those to end (``waiting``).

    A context manager, shared among threads: a request works within it. The longest waiting request is next.
    """

    def __init__(self, running: int, waiting: int) -> None:
        self._free, self._max_waiting = running, waiting
        self._queue: deque[threading.Lock] = deque()  # a lock for each waiting request, released when its turn comes
        self._changing = threading.Lock()

    def __enter__(self) -> None:
        """Begin, at once or after a short wait. Raises Overloaded."""
        with self._changing:
            if self._free:
                self._free -= 1
                return
            if len(self._queue) >= self._max_waiting:
                raise Overloaded
            turn = threading.Lock()
            turn.acquire()
            self._queue.append(turn)
        if not turn.acquire(timeout=MAX_WAIT_S):
            with self._changing:
                if turn in self._queue:  # else its turn came in the last moment
                    self._queue.remove(turn)
                    raise Overloaded

    def __exit__(self, *_: object) -> None:
        with self._changing:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._free += 1


reads = ConcurrencyLimit(running=8, waiting=120)
events = ConcurrencyLimit(running=64, waiting=64)
others = ConcurrencyLimit(running=8, waiting=16)
