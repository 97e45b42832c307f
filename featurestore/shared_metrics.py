"""Registry of the metrics that are read from what all processes share: the database, the control Redis.

Whichever process is asked answers them, once; the metrics of each process are in prometheus_client's own registry. A
gauge of the wrong registry would be answered by every process behind a port, as of when each was asked last.
"""

from collections.abc import Callable
from time import monotonic

from prometheus_client import CollectorRegistry

SHARED = CollectorRegistry()


class Measurement:
    """A function that sets gauges, called once an interval at most.

    So scrapes are no load, and a database that hangs delays one scrape in three at most. ``due_s``: when it is next
    called, by the clock.
    """

    def __init__(self, update: Callable[[], None], interval_s: float) -> None:
        self.update, self.interval_s, self.due_s = update, interval_s, 0.0

    def __call__(self, clock: Callable[[], float] = monotonic) -> None:
        if clock() >= self.due_s:
            self.update()
            self.due_s = clock() + self.interval_s


def measured_every(interval_s: float) -> Callable[[Callable[[], None]], Measurement]:
    """Decorator that makes a function a measurement."""
    return lambda update: Measurement(update, interval_s)
