"""Monitor that reads all the time and records every value that a withdrawal forbids."""

import random
import threading
import time
from collections import Counter
from typing import Any, NamedTuple

import httpx

from tests.chaos.customers import CHANGING_PURPOSES, Customer, ExpectedPermission, read, results_of
from tests.chaos.environment import ChaosEnvironment

DENIED_CUSTOMERS, OTHER_CUSTOMERS = 12, 4
"""Customers in one read."""
PRINTED_LEAKS = 5
"""So many are printed when they are found; the report has them all."""


class Leak(NamedTuple):
    """A view that was served although its purpose was denied."""

    subject: str
    purpose: str
    view: str
    answer: dict[str, Any]
    after_s: float
    history: list[str]


class LeakMonitor:
    """``leaks`` found so far; ``counts`` of reads and of checked denials."""

    def __init__(self, env: ChaosEnvironment, customers: list[Customer], rate: float, seed: int) -> None:
        self.env, self.customers, self.every_s = env, customers, 1 / rate
        self.leaks: list[Leak] = []
        self.counts: Counter[str] = Counter()
        self.error: BaseException | None = None
        self._random = random.Random(f"leak monitor {seed}")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leak monitor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        if self.error:
            raise self.error

    def read_and_check(self, client: httpx.Client, purpose: str, customers: list[Customer]) -> None:
        """Read customers, and record what the answer must not serve."""
        read_at = time.monotonic()
        expected_before = [customer.expected[purpose] for customer in customers]
        try:
            answer = read(client, purpose, customers)
        except httpx.TransportError:
            self.counts["reads without an answer"] += 1
            return
        self.counts[f"reads answered {answer.status_code}"] += 1
        if answer.status_code == 200:
            for customer, expected, result in zip(customers, expected_before, results_of(answer), strict=True):
                if is_denied(expected, customer.expected[purpose], read_at):
                    self.counts["denials checked"] += 1
                    self._record_leaks(customer, purpose, read_at - expected.denied_from, result)

    def _record_leaks(self, customer: Customer, purpose: str, after_s: float, result: dict[str, Any]) -> None:
        for disclosed, served in disclosures(result).items():
            self.leaks.append(Leak(customer.subject, purpose, disclosed, served, after_s, list(customer.history)))
            if len(self.leaks) <= PRINTED_LEAKS:
                print(f"  {self.leaks[-1]}", flush=True)

    def _run(self) -> None:
        try:
            with self.env.client() as client:
                while not self._stop.wait(self.every_s):
                    purpose = self._random.choice(CHANGING_PURPOSES)
                    self.read_and_check(client, purpose, self._choose(purpose))
        except BaseException as error:  # noqa: BLE001 raised by stop
            self.error = error

    def _choose(self, purpose: str) -> list[Customer]:
        """Those who withdrew last, and some others."""
        denied = [customer for customer in self.customers if not customer.may_be_read(purpose)]
        latest = sorted(denied, key=lambda customer: customer.expected[purpose].denied_from)[-DENIED_CUSTOMERS:]
        return list({*latest, *self._random.sample(self.customers, min(OTHER_CUSTOMERS, len(self.customers)))})


def is_denied(before: ExpectedPermission, after: ExpectedPermission, read_at: float) -> bool:
    """Whether a read at a time must be denied: a denial was in effect, and no grant was requested meanwhile."""
    return before.denied_from <= read_at and after is before


def disclosures(result: dict[str, Any]) -> dict[str, Any]:
    """What an answer that must be withheld discloses: views that are not withheld (even "missing" discloses that the
    customer has no value), and features that are not null.
    """
    views = {name: view for name, view in result["views"].items() if view["status"] != "withheld"}
    return views | {name: value for name, value in result["features"].items() if value is not None}
