"""Traffic of consent decisions through the API, each repeated until the API acknowledges it.

While a customer decides, none of the customer's events is in flight or sent, so it is known which events a grant
covers. A request whose answer is lost is repeated; a decision that is recorded twice changes nothing.
"""

import random
import threading
import time
from collections import Counter

import httpx

from tests.chaos.customers import CHANGING_PURPOSES, Customer, decide
from tests.chaos.environment import ChaosEnvironment
from tests.chaos.leak_monitor import LeakMonitor

THREADS = 3
RETRY_S = 0.2


class ConsentTraffic:
    """Sends decisions at a rate from several threads: some may wait for an unavailable broker or database."""

    def __init__(
        self, env: ChaosEnvironment, customers: list[Customer], leaks: LeakMonitor, rate: float, seed: int
    ) -> None:
        self.env, self.leaks, self.every_s = env, leaks, THREADS / rate
        self.counts: Counter[str] = Counter()
        self.error: BaseException | None = None
        changing = [customer for customer in customers if customer.changes_consent]
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._run,
                args=(changing[number::THREADS], random.Random(f"decisions {seed} {number}")),
                name=f"consent traffic {number}",
                daemon=True,
            )
            for number in range(THREADS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop; return when every begun decision is acknowledged."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self.error:
            raise self.error

    def _run(self, customers: list[Customer], choices: random.Random) -> None:
        try:
            with self.env.client() as client:
                while not self._stop.wait(self.every_s * choices.uniform(0.5, 1.5)):
                    self._change(client, choices.choice(customers), choices)
        except BaseException as error:  # noqa: BLE001 raised by stop
            self.error = error

    def _change(self, client: httpx.Client, customer: Customer, choices: random.Random) -> None:
        """Withdraw a given consent of the customer, or give a refused one."""
        purpose = choices.choice(CHANGING_PURPOSES)
        decision = "withdrawn" if customer.may_be_read(purpose) else "given"
        with customer.lock:
            customer.deciding = True
        while customer.in_flight:
            time.sleep(0.01)
        if decision == "given":
            customer.allow_reads(purpose)
        answer = self.decide_until_acknowledged(client, customer, purpose, decision)
        customer.record_answer(purpose, decision, answer)
        with customer.lock:
            customer.deciding = False
        self.counts[f"{decision} {answer.status_code}"] += 1
        if decision == "withdrawn":
            self.leaks.read_and_check(client, purpose, [customer])

    def decide_until_acknowledged(
        self, client: httpx.Client, customer: Customer, purpose: str, decision: str
    ) -> httpx.Response:
        """The acknowledging answer to a decision; the request is repeated until there is one."""
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
