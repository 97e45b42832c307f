"""The customers, and what each was promised: the ground on which the oracle and the search for leaks stand."""

import itertools
import random
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import httpx

from featurestore.identity import partition_of, subject_of
from tests.chaos.world import PARTITIONS
from devservers.waiting import eventually

NEVER = float("inf")
PENDING_S = 2.5
"""How long reads may stay as they were after a 202, as long as the database is there: docs/consent.md."""

SERVICES = {
    "service": "support_chat",
    "personalisation": "sales_chat",
    "analytics": "shop_insight",
    "fraud": "fraud_check",
}
"""Which service reads for which purpose."""
NOTICE = "privacy/1/en"
CONSENTS = ("service", "personalisation")
CHANGING = (*CONSENTS, "analytics")


class Promise(NamedTuple):
    """What holds for one purpose. ``since_ms``: of the grant in force; None: refused.

    ``denied_from``: the monotonic time from which no read may show a value, which only a new grant ends.
    """

    since_ms: int | None
    denied_from: float


@dataclass(eq=False)
class Customer:
    """One customer. ``unsettled``: events of theirs of which Kafka has not told yet that they are written."""

    customer_id: str
    subject: str
    changes_mind: bool
    deciding: bool = False  # nobody sends their events meanwhile
    unsettled: int = 0
    promises: dict[str, Promise] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def partition(self) -> int:
        return partition_of(self.subject, PARTITIONS)

    def allow_reads(self, purpose: str) -> None:
        """A grant is about to be asked for: from now on a read may show values."""
        self.promises[purpose] = Promise(None, NEVER)

    def note(self, purpose: str, decision: str, answer: httpx.Response) -> None:
        """Keep what the API said to a decision."""
        told = answer.json()
        since_ms = milliseconds(told["since"])
        if decision == "given":
            self.promises[purpose] = Promise(since_ms, NEVER)
        else:
            pending_s = 0 if answer.status_code == 201 else PENDING_S
            self.promises[purpose] = Promise(None, time.monotonic() + pending_s)
        self.history.append(f"{purpose} {decision} {told['since']} ({answer.status_code}, record {told['record']})")

    def may_be_read(self, purpose: str) -> bool:
        return self.promises[purpose].since_ms is not None


def milliseconds(time_: str) -> int:
    return round(datetime.fromisoformat(time_).timestamp() * 1000)


def crowd(secret: str, number: int, prefix: str = "c") -> list[Customer]:
    """Customers of whom half never change their mind, so that their state is as old as the run.

    The first is the shop's lively one, and of the steady half.
    """
    names = (f"{prefix}{i}" for i in range(number))
    return [Customer(name, subject_of(name, secret.encode()), i % 2 == 1) for i, name in enumerate(names)]


def one_a_partition(secret: str, prefix: str) -> list[Customer]:
    """Steady customers, one for each partition, in order."""
    found: dict[int, Customer] = {}
    for i in itertools.count():
        customer = Customer(f"{prefix}{i}", subject_of(f"{prefix}{i}", secret.encode()), changes_mind=False)
        found.setdefault(customer.partition, customer)
        if len(found) == PARTITIONS:
            return [found[partition] for partition in range(PARTITIONS)]
    raise AssertionError("never ends without")


def register(client: httpx.Client, customers: Iterable[Customer], choices: random.Random) -> None:
    """Register customers and record their first decisions; returns when every grant counts.

    Who may change their mind may begin with a no. What needs no consent begins with the registration: its date is the
    start that an answer tells.
    """
    customers = list(customers)
    for customer in customers:
        body = {"customer_id": customer.customer_id, "region": "EU", "brand": "lamp"}
        assert client.post("/v1/customers", json=body).status_code == 201
        for purpose in CONSENTS:
            if customer.changes_mind and choices.random() < 0.2:
                customer.promises[purpose] = Promise(None, time.monotonic())
            else:
                answer = decide(client, customer, purpose, "given")
                assert answer.status_code == 201, answer.text
                customer.note(purpose, "given", answer)
    for purpose in ("analytics", "fraud"):
        for batch in batches(customers):
            for customer, answer in zip(batch, read(client, purpose, batch).json()["results"], strict=True):
                start = next(iter(answer["views"].values()))["start"]
                customer.promises[purpose] = Promise(milliseconds(start), NEVER)
    latest_ms = max(p.since_ms or 0 for customer in customers for p in customer.promises.values())
    eventually(lambda: time.time() * 1000 > latest_ms, "every grant counts")


def decide(client: httpx.Client, customer: Customer, purpose: str, decision: str) -> httpx.Response:
    body = {"customer_id": customer.customer_id, "purpose": purpose, "decision": decision, "method": "api"}
    return client.post("/v1/consents", json=body | ({"notice": NOTICE} if decision == "given" else {}))


def read(client: httpx.Client, purpose: str, customers: Iterable[Customer], **chosen: Any) -> httpx.Response:
    names = [customer.customer_id for customer in customers]
    body = {"service": SERVICES[purpose], "purpose": purpose, "customer_ids": names, **chosen}
    return client.post("/v1/features/batch", json=body)


def batches(customers: list[Customer], size: int = 100) -> Iterable[list[Customer]]:
    return (customers[start : start + size] for start in range(0, len(customers), size))
