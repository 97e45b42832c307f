"""Customers, and the permissions that the API's answers imply for each: input of comparison and leak monitor."""

import itertools
import random
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import httpx

from devservers.waiting import eventually
from featurestore.identity import partition_of, subject_of
from tests.chaos.environment import PARTITIONS

NEVER = float("inf")
PENDING_S = 2.5
"""After a 202, reads may stay unchanged for so long while the database is available: docs/consent.md."""

SERVICES = {
    "service": "support_chat",
    "personalisation": "sales_chat",
    "analytics": "shop_insight",
    "fraud": "fraud_check",
}
"""The service that reads, by purpose."""
NOTICE = "privacy/1/en"
CONSENT_PURPOSES = ("service", "personalisation")
CHANGING_PURPOSES = (*CONSENT_PURPOSES, "analytics")


class ExpectedPermission(NamedTuple):
    """Permission expected for one purpose. ``since_ms`` is that of the grant in effect; None: refused.

    ``denied_from``: the monotonic time from which no read may serve a value, until a new grant is requested.
    """

    since_ms: int | None
    denied_from: float


@dataclass(eq=False)
class Customer:
    """One customer. ``in_flight``: number of the customer's events that Kafka has not acknowledged."""

    customer_id: str
    subject: str
    changes_consent: bool
    deciding: bool = False  # meanwhile no event is sent
    in_flight: int = 0
    expected: dict[str, ExpectedPermission] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def partition(self) -> int:
        return partition_of(self.subject, PARTITIONS)

    def allow_reads(self, purpose: str) -> None:
        """A grant is about to be requested: from now on a read may serve values."""
        self.expected[purpose] = ExpectedPermission(None, NEVER)

    def record_answer(self, purpose: str, decision: str, answer: httpx.Response) -> None:
        """Update the expected permission by the API's answer to a decision."""
        body = answer.json()
        since_ms = milliseconds(body["since"])
        if decision == "given":
            self.expected[purpose] = ExpectedPermission(since_ms, NEVER)
        else:
            pending_s = 0 if answer.status_code == 201 else PENDING_S
            self.expected[purpose] = ExpectedPermission(None, time.monotonic() + pending_s)
        self.history.append(f"{purpose} {decision} {body['since']} ({answer.status_code}, record {body['record']})")

    def may_be_read(self, purpose: str) -> bool:
        return self.expected[purpose].since_ms is not None


def milliseconds(time_: str) -> int:
    return round(datetime.fromisoformat(time_).timestamp() * 1000)


def make_customers(secret: str, number: int, prefix: str = "c") -> list[Customer]:
    """Customers of whom every second one changes consents; the others' state is as old as the run.

    The first is the simulated shop's most active one, and changes nothing.
    """
    names = (f"{prefix}{i}" for i in range(number))
    return [Customer(name, subject_of(name, secret.encode()), i % 2 == 1) for i, name in enumerate(names)]


def one_per_partition(secret: str, prefix: str) -> list[Customer]:
    """One customer a partition, in order, none of whom changes consents."""
    found: dict[int, Customer] = {}
    for i in itertools.count():
        customer = Customer(f"{prefix}{i}", subject_of(f"{prefix}{i}", secret.encode()), changes_consent=False)
        found.setdefault(customer.partition, customer)
        if len(found) == PARTITIONS:
            return [found[partition] for partition in range(PARTITIONS)]
    raise AssertionError("unreachable")


def register(client: httpx.Client, customers: Iterable[Customer], choices: random.Random) -> None:
    """Register customers and record their first decisions; return when every grant is in effect.

    Of those who change consents, some start without. A purpose that needs no consent is allowed since the registration,
    whose time is the start in an answer.
    """
    customers = list(customers)
    for customer in customers:
        body = {"customer_id": customer.customer_id, "region": "EU", "brand": "lamp"}
        assert client.post("/v1/customers", json=body).status_code == 201
        for purpose in CONSENT_PURPOSES:
            if customer.changes_consent and choices.random() < 0.2:
                customer.expected[purpose] = ExpectedPermission(None, time.monotonic())
            else:
                answer = decide(client, customer, purpose, "given")
                assert answer.status_code == 201, answer.text
                customer.record_answer(purpose, "given", answer)
    for purpose in ("analytics", "fraud"):
        for batch in batches(customers):
            for customer, answer in zip(batch, read(client, purpose, batch).json()["results"], strict=True):
                start = next(iter(answer["views"].values()))["start"]
                customer.expected[purpose] = ExpectedPermission(milliseconds(start), NEVER)
    latest_ms = max(p.since_ms or 0 for customer in customers for p in customer.expected.values())
    eventually(lambda: time.time() * 1000 > latest_ms, "every grant is in effect")


def decide(client: httpx.Client, customer: Customer, purpose: str, decision: str) -> httpx.Response:
    body = {"customer_id": customer.customer_id, "purpose": purpose, "decision": decision, "method": "api"}
    return client.post("/v1/consents", json=body | ({"notice": NOTICE} if decision == "given" else {}))


def read(client: httpx.Client, purpose: str, customers: Iterable[Customer], **options: Any) -> httpx.Response:
    names = [customer.customer_id for customer in customers]
    body = {"service": SERVICES[purpose], "purpose": purpose, "customer_ids": names, **options}
    return client.post("/v1/features/batch", json=body)


def batches(customers: list[Customer], size: int = 100) -> Iterable[list[Customer]]:
    return (customers[start : start + size] for start in range(0, len(customers), size))
