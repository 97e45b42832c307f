"""Traffic of consent decisions through the API, each repeated until the API acknowledges it.

While a customer decides, none of the customer's events is in flight or sent, so it is known which events a grant
covers. A request whose answer is lost is repeated with its idempotency key: the first may still be under way.
"""

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

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
        self.changing = [customer for customer in customers if customer.changes_consent]
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._run,
                args=(self.changing[number::THREADS], random.Random(f"decisions {seed} {number}")),
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

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let no decision begin until the block ends; those that have begun are acknowledged before it begins."""
        with ExitStack() as held:
            for customer in self.changing:
                held.enter_context(customer.without_decisions())
            yield

    def _run(self, customers: list[Customer], choices: random.Random) -> None:
        try:
            with self.env.client() as client:
                while not self._stop.wait(self.every_s * choices.uniform(0.5, 1.5)):
                    self.change(client, choices.choice(customers), choices.choice(CHANGING_PURPOSES))
        except BaseException as error:  # noqa: BLE001 raised by stop
            self.error = error

    def change(self, client: httpx.Client, customer: Customer, purpose: str) -> None:
        """Withdraw a given consent of the customer, or give a refused one."""
        with customer.without_decisions(), customer.without_events():
            decision = "withdrawn" if customer.may_be_read(purpose) else "given"
            self.decide_and_record(client, customer, purpose, decision)
        if decision == "withdrawn":
            self.leaks.read_and_check(client, purpose, [customer])

    def decide_and_record(self, client: httpx.Client, customer: Customer, purpose: str, decision: str) -> None:
        """Have a decision acknowledged, and record what it implies."""
        if decision == "given":
            customer.allow_reads(purpose)
        answer = self.decide_until_acknowledged(client, customer, purpose, decision)
        customer.record_answer(purpose, decision, answer)
        self.counts[f"{decision} {answer.status_code}"] += 1

    def decide_until_acknowledged(
        self, client: httpx.Client, customer: Customer, purpose: str, decision: str
    ) -> httpx.Response:
        """The acknowledging answer to a decision; the request is repeated until there is one."""
        key = str(uuid.uuid4())
        while True:
            try:
                answer = decide(client, customer, purpose, decision, key)
            except httpx.TransportError:
                self.counts["answer lost"] += 1
            else:
                if answer.status_code in (201, 202):
                    return answer
                assert answer.status_code >= 500, (
                    f"{decision} {purpose} was answered {answer.status_code}: {answer.text}"
                )
                self.counts[f"answered {answer.status_code}"] += 1
            customer.expect_late_grants()  # it may be recorded, and have met an empty store
            time.sleep(RETRY_S)
