"""How much may be in hand: what comes when that is full is refused at once, and no queue grows.

Feature reads, writes of events and everything else have rooms of their own: decisions that wait for a slow database
keep no read waiting, and writes only wait for Kafka, which takes many at once.
Event streams need none: their process bounds them by its threads.
Whoever serves has a thread for every connection, or requests would queue before they are seen.
"""

import threading
from collections import deque
from typing import NamedTuple

from featurestore.api.errors import Overloaded

PATIENCE_S = 0.1


class Room(NamedTuple):
    """How many work at once, and how many more may wait for them."""

    working: int
    waiting: int


READS, EVENTS, OTHERS = Room(8, 120), Room(64, 64), Room(8, 16)


class Admission:
    """Room for requests. Shared among threads; it is taken ``with`` it, and left to whoever waits longest."""

    def __init__(self, room: Room) -> None:
        self._free, self._most_waiting = room.working, room.waiting
        self._line: deque[threading.Lock] = deque()  # a lock for each who waits: released when it is their turn
        self._changing = threading.Lock()

    def __enter__(self) -> None:
        """Take a place, waiting a little if there is room to wait. Raises Overloaded."""
        with self._changing:
            if self._free:
                self._free -= 1
                return
            if len(self._line) >= self._most_waiting:
                raise Overloaded
            turn = threading.Lock()
            turn.acquire()
            self._line.append(turn)
        if not turn.acquire(timeout=PATIENCE_S):
            with self._changing:
                if turn in self._line:  # else the place was given in the last moment
                    self._line.remove(turn)
                    raise Overloaded

    def __exit__(self, *_: object) -> None:
        with self._changing:
            if self._line:
                self._line.popleft().release()
            else:
                self._free += 1


reads, events, others = Admission(READS), Admission(EVENTS), Admission(OTHERS)
