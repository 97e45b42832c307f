"""Customers, and the permissions that the API's answers imply for each: input of comparison and leak monitor."""

import itertools
import random
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import httpx
import msgspec

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
    """Permission expected for one purpose. ``since_ms`` is the start of the grant in effect; None: refused.

    ``denied_from``: the monotonic time from which no read may serve a value, until a new grant is requested.
    ``before``: earlier intervals (since, until) whose events count too; later on, events passed by and ``since_ms``
    moved. ``late``: the store had the grant late, perhaps, and then it starts later than its decision's answer says.
    ``unclear``: then, from its first start until its later one, any events may have been counted, and stay.
    ``counts_from_ms``: the grant's own start, where ``since_ms`` moved but the grant did not: an event from between the
    two that Kafka has after ``since_ms`` counts.
    """

    since_ms: int | None
    denied_from: float
    before: tuple[tuple[int, int], ...] = ()
    late: bool = False
    unclear: tuple[int, int] | None = None
    counts_from_ms: int | None = None


@dataclass(eq=False)
class Customer:
    """One customer. ``in_flight``: number of the customer's events that Kafka has not acknowledged."""

    customer_id: str
    subject: str
    changes_consent: bool
    deciding: bool = False  # meanwhile no event is sent
    in_flight: int = 0
    expected: dict[str, ExpectedPermission] = field(default_factory=dict)
    decided: dict[str, float] = field(default_factory=dict)  # monotonic time of the last answer, by purpose
    history: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    decision_lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def partition(self) -> int:
        return partition_of(self.subject, PARTITIONS)

    def allow_reads(self, purpose: str) -> None:
        """A grant is about to be requested: from now on a read may serve values."""
        self.expected[purpose] = ExpectedPermission(None, NEVER)

    def record_answer(self, purpose: str, decision: str, answer: httpx.Response) -> None:
        """Update the expected permission by the API's answer to a decision."""
        body = answer.json()
        self.decided[purpose] = time.monotonic()
        since_ms = milliseconds(body["since"])
        if decision == "given":
            self.expected[purpose] = ExpectedPermission(since_ms, NEVER)
        else:
            pending_s = 0 if answer.status_code == 201 else PENDING_S
            self.expected[purpose] = ExpectedPermission(None, time.monotonic() + pending_s)
        if answer.status_code == 202:
            self.expect_late_grants()
        self.history.append(f"{purpose} {decision} {body['since']} ({answer.status_code}, record {body['record']})")

    def expect_late_grants(self, decided_since: float = 0.0) -> None:
        """The store may have been empty, or had no decision in time: each grant may start later from now on.

        ``decided_since``: only those of decisions since a monotonic time.
        """
        for purpose, expected in self.expected.items():
            if expected.since_ms is not None and self.decided_at(purpose) >= decided_since:
                self.expected[purpose] = expected._replace(late=True)

    def may_be_read(self, purpose: str) -> bool:
        return self.expected[purpose].since_ms is not None

    def start_later(self, purpose: str, passed_by_from_ms: int, start_ms: int) -> None:
        """Events from a time on were passed by, and the grant starts later; what was counted before stays.

        If the worker that passed them by is replaced before it has removed its entry, and the store is then emptied,
        the grant starts later once more.
        """
        expected = self.expected[purpose]
        assert expected.since_ms is not None
        assert start_ms > passed_by_from_ms, (
            f"{purpose} of {self.subject} starts at {start_ms}, though events after {passed_by_from_ms} were passed by"
        )
        before = (*expected.before, (expected.since_ms, passed_by_from_ms))
        unclear = (passed_by_from_ms, start_ms)  # a busy machine may move the start once more before it is read
        own_start_ms = expected.since_ms if expected.counts_from_ms is None else expected.counts_from_ms
        self.expected[purpose] = expected._replace(
            since_ms=start_ms, before=before, late=True, unclear=unclear, counts_from_ms=own_start_ms
        )
        self.history.append(f"{purpose} passed by from {passed_by_from_ms}, starts at {start_ms}")

    def decided_at(self, purpose: str) -> float:
        """Monotonic time at which the last decision was acknowledged."""
        return self.decided.get(purpose, 0.0)

    def adopt_taken_over(self, purpose: str, answered: dict[str, Any]) -> None:
        """Adopt what became of a grant that the database may have lost: it is refused, or may start later."""
        if all(view["status"] == "withheld" for view in answered["views"].values()):
            self.expected[purpose] = ExpectedPermission(None, time.monotonic())
            self.history.append(f"{purpose} refused after the denials were taken over")
        else:
            self.expected[purpose] = self.expected[purpose]._replace(late=True)

    def start_generation(self, at_ms: int) -> None:
        """No event before this time counts any more."""
        for purpose, expected in self.expected.items():
            if expected.since_ms is not None and expected.since_ms < at_ms:
                self.expected[purpose] = ExpectedPermission(at_ms, NEVER, late=expected.late)
        self.history.append(f"new generation at {at_ms}")

    @contextmanager
    def without_decisions(self) -> Iterator[None]:
        """Let no decision of the customer begin until the block ends; one that has begun is awaited."""
        with self.decision_lock:
            yield

    @contextmanager
    def without_events(self) -> Iterator[None]:
        """Send no event of the customer until the block ends; those in flight are awaited."""
        with self.lock:
            self.deciding = True
        eventually(lambda: not self.in_flight, "the customer's events are acknowledged", within_s=180, every_s=0.01)
        yield
        with self.lock:
            self.deciding = False


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
            for customer, answer in zip(batch, read_patiently(client, purpose, batch), strict=True):
                start = next(iter(answer["views"].values()))["start"]
                customer.expected[purpose] = ExpectedPermission(milliseconds(start), NEVER)
    latest_ms = max(p.since_ms or 0 for customer in customers for p in customer.expected.values())
    eventually(lambda: time.time() * 1000 > latest_ms, "every grant is in effect")


def decide(
    client: httpx.Client, customer: Customer, purpose: str, decision: str, key: str | None = None
) -> httpx.Response:
    """The answer to a decision. ``key``: its idempotency key."""
    body = {"customer_id": customer.customer_id, "purpose": purpose, "decision": decision, "method": "api"}
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post("/v1/consents", json=body | ({"notice": NOTICE} if decision == "given" else {}), headers=headers)


def read_patiently(client: httpx.Client, purpose: str, customers: Sequence[Customer]) -> list[dict[str, Any]]:
    """The answers for customers, once a busy machine gives them."""
    answer = eventually(
        lambda: answer if (answer := read(client, purpose, customers)).status_code == 200 else None,
        "a read is answered",
    )
    return results_of(answer)


def read(client: httpx.Client, purpose: str, customers: Iterable[Customer], **options: Any) -> httpx.Response:
    names = [customer.customer_id for customer in customers]
    body = {"service": SERVICES[purpose], "purpose": purpose, "customer_ids": names, **options}
    return client.post("/v1/features/batch", json=body)


def results_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """The answers for each customer of a read."""
    assert answer.status_code == 200, f"a read is answered {answer.status_code}: {answer.text}"
    results: list[dict[str, Any]] = msgspec.json.decode(answer.content)["results"]
    return results


def read_served(client: httpx.Client, purpose: str, customers: Sequence[Customer]) -> list[dict[str, Any]]:
    """Answers for customers. Raises AssertionError if one is not served."""
    answers = read_patiently(client, purpose, customers) if customers else []
    for customer, answered in zip(customers, answers, strict=True):
        assert is_served(answered), f"{purpose} of {customer.subject} is not served: {answered['views']}"
    return answers


def start_of(answered: dict[str, Any]) -> int:
    """Start in ms of what an answer serves: that of the view with the longest window; others' may begin later."""
    return min(milliseconds(view["start"]) for view in answered["views"].values())


def is_served(answered: dict[str, Any]) -> bool:
    """Whether every view of an answer is served, with a value or without."""
    return all(view["status"] in ("present", "missing") for view in answered["views"].values())


def batches(customers: Sequence[Customer], size: int = 100) -> Iterable[Sequence[Customer]]:
    return (customers[start : start + size] for start in range(0, len(customers), size))
