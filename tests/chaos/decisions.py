"""Customers who change their mind, through the API, until the API has acknowledged it.

Nobody's events are on their way while they decide, and none is sent before the answer: so it is known which events a
grant covers. An answer that was lost is asked for again; a decision that was recorded twice changes nothing.
"""

import random
import threading
import time
from collections import Counter

import httpx

from tests.chaos.customers import CHANGING, Customer, decide
from tests.chaos.watch import Watch
from tests.chaos.world import World

DECIDERS = 3
RETRY_S = 0.2


class Decisions:
    """Decisions at a rate, by several threads: some wait for a broker or a database that is away."""

    def __init__(self, world: World, customers: list[Customer], watch: Watch, rate: float, seed: int) -> None:
        self.world, self.watch, self.every_s = world, watch, DECIDERS / rate
        self.counts: Counter[str] = Counter()
        self.error: BaseException | None = None
        changing = [customer for customer in customers if customer.changes_mind]
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._run,
                args=(changing[number::DECIDERS], random.Random(f"decisions {seed} {number}")),
                name=f"decider {number}",
                daemon=True,
            )
            for number in range(DECIDERS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when every decision that was begun is acknowledged."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self.error:
            raise self.error

    def _run(self, customers: list[Customer], choices: random.Random) -> None:
        try:
            with self.world.client() as client:
                while not self._stop.wait(self.every_s * choices.uniform(0.5, 1.5)):
                    self._change(client, choices.choice(customers), choices)
        except BaseException as error:  # noqa: BLE001 told by stop
            self.error = error

    def _change(self, client: httpx.Client, customer: Customer, choices: random.Random) -> None:
        """One customer gives what is refused, or withdraws what is given."""
        purpose = choices.choice(CHANGING)
        decision = "withdrawn" if customer.may_be_read(purpose) else "given"
        with customer.lock:
            customer.deciding = True
        while customer.unsettled:
            time.sleep(0.01)
        if decision == "given":
            customer.allow_reads(purpose)
        answer = self.acknowledged(client, customer, purpose, decision)
        customer.note(purpose, decision, answer)
        with customer.lock:
            customer.deciding = False
        self.counts[f"{decision} {answer.status_code}"] += 1
        if decision == "withdrawn":
            self.watch.look(client, purpose, [customer])

    def acknowledged(self, client: httpx.Client, customer: Customer, purpose: str, decision: str) -> httpx.Response:
        """The answer to a decision, asked for until there is one."""
        while True:
            try:
                answer = decide(client, customer, purpose, decision)
            except httpx.TransportError:
                self.counts["answer lost"] += 1
            else:
                if answer.status_code in (201, 202):
                    return answer
                assert answer.status_code >= 500, (
                    f"{decision} {purpose} was answered {answer.status_code}: {answer.text}"
                )
                self.counts[f"answered {answer.status_code}"] += 1
            time.sleep(RETRY_S)
