"""Reads without end, during everything, for values that a withdrawal forbids."""

import random
import threading
import time
from collections import Counter
from typing import Any, NamedTuple

import httpx

from tests.chaos.customers import CHANGING, Customer, Promise, read
from tests.chaos.world import World

EVERY_S = 0.1
OF_DENIED, OF_OTHERS = 20, 10
"""How many customers one read asks about."""


class Leak(NamedTuple):
    """A view that was answered though its purpose was denied."""

    subject: str
    purpose: str
    view: str
    answered: dict[str, Any]
    after_s: float
    history: list[str]


class Watch:
    """``leaks`` found so far; ``counts`` of reads and of answers that had to be withheld."""

    def __init__(self, world: World, customers: list[Customer], seed: int) -> None:
        self.world, self.customers = world, customers
        self.leaks: list[Leak] = []
        self.counts: Counter[str] = Counter()
        self.error: BaseException | None = None
        self._random = random.Random(f"watch {seed}")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        if self.error:
            raise self.error

    def look(self, client: httpx.Client, purpose: str, customers: list[Customer]) -> None:
        """One read, and whether it shows what it must not."""
        asked_at = time.monotonic()
        promised = [customer.promises[purpose] for customer in customers]
        try:
            answer = read(client, purpose, customers)
        except httpx.TransportError:
            self.counts["reads without an answer"] += 1
            return
        self.counts[f"reads answered {answer.status_code}"] += 1
        if answer.status_code == 200:
            for customer, promise, result in zip(customers, promised, answer.json()["results"], strict=True):
                if is_denied(promise, customer.promises[purpose], asked_at):
                    self.counts["denials checked"] += 1
                    self._judge(customer, purpose, asked_at - promise.denied_from, result)

    def _judge(self, customer: Customer, purpose: str, after_s: float, result: dict[str, Any]) -> None:
        self.leaks += [
            Leak(customer.subject, purpose, view, answered, after_s, list(customer.history))
            for view, answered in shown(result).items()
        ]

    def _run(self) -> None:
        try:
            with self.world.client() as client:
                while not self._stop.wait(EVERY_S):
                    purpose = self._random.choice(CHANGING)
                    self.look(client, purpose, self._chosen(purpose))
        except BaseException as error:  # noqa: BLE001 told by stop
            self.error = error

    def _chosen(self, purpose: str) -> list[Customer]:
        """Those who withdrew last, and some of all."""
        denied = [customer for customer in self.customers if not customer.may_be_read(purpose)]
        latest = sorted(denied, key=lambda customer: customer.promises[purpose].denied_from)[-OF_DENIED:]
        return list({*latest, *self._random.sample(self.customers, min(OF_OTHERS, len(self.customers)))})


def is_denied(before: Promise, after: Promise, asked_at: float) -> bool:
    """Whether a read asked at a time had to deny: it was promised before, and no new grant was asked for meanwhile."""
    return before.denied_from <= asked_at and after is before


def shown(result: dict[str, Any]) -> dict[str, Any]:
    """The views of an answer that are not withheld: that something is there is told already by "missing"."""
    return {name: view for name, view in result["views"].items() if view["status"] != "withheld"}
