"""Disturbance of a running environment, and what a fault may use to cause one."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import httpx

from tests.chaos.consent_traffic import ConsentTraffic
from tests.chaos.customers import CHANGING_PURPOSES, Customer, milliseconds, read_patiently
from tests.chaos.environment import PARTITIONS, ChaosEnvironment
from tests.chaos.event_traffic import EventTraffic
from tests.chaos.leak_monitor import LeakMonitor
from tests.chaos.members import Worker
from tests.chaos.probes import PurgeProbe, ReadProbe

ALL_PARTITIONS = frozenset(range(PARTITIONS))


@dataclass(frozen=True)
class Disturbance:
    """Disturbance at a monotonic time, and what must be again afterwards.

    ``partitions``: they are served again. ``customers``: they are. ``purges``: purges are sent.
    """

    partitions: frozenset[int] = ALL_PARTITIONS
    customers: tuple[Customer, ...] = ()
    purges: bool = False
    at: float = field(default_factory=time.monotonic)


@dataclass
class FaultContext:
    """Input of a fault. ``outage_s``: for how long something is away, as a broker or a disk's space.

    ``customers`` have events and perhaps decisions; ``everyone`` are they and those of probes.
    """

    env: ChaosEnvironment
    client: httpx.Client
    choices: random.Random
    outage_s: float
    customers: list[Customer]
    everyone: list[Customer]
    event_traffic: EventTraffic
    consent_traffic: ConsentTraffic
    leak_monitor: LeakMonitor
    read_probe: ReadProbe
    purge_probe: PurgeProbe

    def worker(self) -> Worker:
        return self.choices.choice(self.env.workers)

    def start_generation(self, generation: int, start: str, command: list[str]) -> None:
        """Start a new generation of topics as an operator does: run a command, restart every process that uses them.

        The events of the earlier one are over: every answer starts later.
        """
        self.env.start_generation(generation, start, command)
        for part in (self.event_traffic, self.read_probe, self.purge_probe):
            part.start_generation(generation)
        for customer in self.everyone:
            customer.start_generation(milliseconds(start))

    def expect_late_grants(self, began_at: float) -> None:
        """Expect that grants given since a monotonic time, when the store was emptied, may start later.

        A decision that meets the very moment of the emptying counts as a lost permission (docs/how-it-works.md).
        """
        for customer in self.customers:
            customer.expect_late_grants(began_at)

    def adopt_taken_over(self, began_at: float) -> None:
        """Adopt what became of the grants that were given since a monotonic time, and lost by the database.

        One may be refused now, or given anew with a later start. No other decision may have changed.
        """
        for purpose in CHANGING_PURPOSES:
            given = [one for one in self.customers if one.may_be_read(purpose) and one.decided_at(purpose) >= began_at]
            results = read_patiently(self.client, purpose, given) if given else []
            for customer, answered in zip(given, results, strict=True):
                customer.adopt_taken_over(purpose, answered)


Disturb = Callable[[FaultContext], Iterator[Disturbance]]
"""A generator: after each disturbance that it yields, everything must be as the disturbance says."""


class Fault(NamedTuple):
    """One kind of fault. ``late_effects``: it may show some only when a vouch key or a session has expired.

    ``lacks`` returns what this machine lacks for it, or None.
    """

    disturb: Disturb
    late_effects: bool = True
    lacks: Callable[[], str | None] = lambda: None


def wait_until(at: float) -> None:
    """Wait until a monotonic time."""
    time.sleep(max(0.0, at - time.monotonic()))
