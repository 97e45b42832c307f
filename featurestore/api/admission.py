"""How much may be in hand: what comes when that is full is refused at once, and no queue grows.

Feature reads, writes of events and everything else have rooms of their own: decisions that wait for a slow database
keep no read waiting, and writes only wait for Kafka, which takes many at once.
Event streams need none: their process bounds them by its threads.
Whoever serves has a thread for every connection, or requests would queue before they are seen.
"""

from queue import Empty, SimpleQueue
from typing import NamedTuple

from featurestore.api.errors import Overloaded

PATIENCE_S = 0.1


class Room(NamedTuple):
    """How many work at once, and how many more may wait for them."""

    working: int
    waiting: int


READS, EVENTS, OTHERS = Room(8, 120), Room(64, 64), Room(8, 16)


class Admission:
    """Room for requests. Shared among threads; it is taken ``with`` it, and left to who waits."""

    def __init__(self, room: Room) -> None:
        self._working, self._waiting = places(room.working), places(room.waiting)

    def __enter__(self) -> None:
        """Take a place, waiting a little if there is room to wait. Raises Overloaded."""
        try:
            self._working.get_nowait()
        except Empty:
            self._wait()

    def _wait(self) -> None:
        try:
            self._waiting.get_nowait()
        except Empty:
            raise Overloaded from None
        try:
            self._working.get(timeout=PATIENCE_S)
        except Empty:
            raise Overloaded from None
        finally:
            self._waiting.put(None)

    def __exit__(self, *_: object) -> None:
        self._working.put(None)


def places(number: int) -> "SimpleQueue[None]":
    """So many places: who takes one waits in line."""
    free: SimpleQueue[None] = SimpleQueue()
    for _ in range(number):
        free.put(None)
    return free


reads, events, others = Admission(READS), Admission(EVENTS), Admission(OTHERS)
