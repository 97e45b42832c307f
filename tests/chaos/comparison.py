"""What is served in the end against what DuckDB makes of the events that were told to be written."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import duckdb
import httpx

from devservers.waiting import eventually
from tests.chaos.customers import SERVICES, Customer, batches, milliseconds, read
from tests.chaos.truth import counting
from tests.kit.oracle import Mismatch, Spec, mismatches

QUIET_WITHIN_S = 180
Answers = dict[str, dict[str, Any]]  # by customer


class Difference(NamedTuple):
    """A served value that is not the oracle's. ``more``: a count or sum larger than it, so something counted twice."""

    subject: str
    purpose: str
    feature: str
    expected: Any
    got: Any
    more: bool
    history: list[str]


class Comparison(NamedTuple):
    """``lost``: values, or whole views, that lack something; ``doubled``: that have too much; ``leaked``: forbidden."""

    compared: int
    withheld: int
    lost: list[Difference]
    doubled: list[Difference]
    leaked: list[Difference]


def wait_quiet(client: httpx.Client, customers: list[Customer]) -> None:
    """Wait until everything that was written by now is served, and everything that was withdrawn withheld."""
    now_ms = time.time() * 1000
    for purpose in SERVICES:
        for batch in batches(customers):

            def quiet(purpose: str = purpose, batch: list[Customer] = batch) -> bool:
                answer = read(client, purpose, batch)
                return answer.status_code == 200 and all(
                    settled(result, customer.may_be_read(purpose), now_ms)
                    for customer, result in zip(batch, answer.json()["results"], strict=True)
                )

            eventually(quiet, f"all is folded and served for {purpose}", QUIET_WITHIN_S, 0.2)


def settled(result: dict[str, Any], allowed: bool, now_ms: float) -> bool:
    """Whether an answer is withheld if it must be, and else knows everything up to a time."""
    for view in result["views"].values():
        if not allowed and view["status"] != "withheld":
            return False
        if allowed and (view["age_s"] is None or milliseconds(result["at"]) - view["age_s"] * 1000 < now_ms):
            return False
    return True


def specifications(client: httpx.Client) -> dict[str, list[Spec]]:
    """The features of each purpose's service, as the API describes them."""
    services = {service["name"]: service for service in client.get("/v1/services").json()["services"]}
    return {
        purpose: [
            feature
            for view in services[service]["views"]
            if purpose in view["purposes"]
            for feature in view["features"]
        ]
        for purpose, service in SERVICES.items()
    }


def compare(client: httpx.Client, customers: list[Customer], db: duckdb.DuckDBPyConnection) -> Comparison:
    """Every feature of every customer for every purpose, read through the API."""
    result = Comparison(0, 0, [], [], [])
    by_id = {customer.customer_id: customer for customer in customers}
    for purpose, specs in specifications(client).items():
        by_time: dict[int, Answers] = {}
        for batch in batches(customers):
            answer = read(client, purpose, batch)
            assert answer.status_code == 200, answer.text
            for customer, told in zip(batch, answer.json()["results"], strict=True):
                served = [view for view in told["views"].values() if view["status"] in ("present", "missing")]
                if customer.may_be_read(purpose):
                    if len(served) < len(told["views"]):
                        result.lost.append(whole_views(customer, purpose, told))
                    by_time.setdefault(milliseconds(told["at"]), {})[customer.customer_id] = told["features"]
                else:
                    result = result._replace(withheld=result.withheld + 1)
                    if any(view["status"] != "withheld" for view in told["views"].values()):
                        result.leaked.append(whole_views(customer, purpose, told))
        for now_ms, answers in by_time.items():
            result = result._replace(compared=result.compared + len(specs) * len(answers))
            for wrong, spec in wrong_values(db, purpose, specs, answers, now_ms):
                customer = by_id[wrong.customer]
                more = counted_more(spec, wrong)
                difference = Difference(
                    customer.subject, purpose, wrong.feature, wrong.expected, wrong.served, more, customer.history
                )
                (result.doubled if more else result.lost).append(difference)
    return result


def wrong_values(
    db: duckdb.DuckDBPyConnection, purpose: str, specs: list[Spec], answers: Answers, now_ms: int
) -> Iterator[tuple[Mismatch, Spec]]:
    for source in {spec["source"] for spec in specs}:
        counting(db, source, purpose)
        for spec in specs:
            if spec["source"] == source:
                served = {customer: features[spec["name"]] for customer, features in answers.items()}
                yield from ((wrong, spec) for wrong in mismatches(db, spec, served, now_ms))


def counted_more(spec: Spec, wrong: Mismatch) -> bool:
    """Whether a value is larger in size than it should be; one that has no size counts as lost."""
    numbers = isinstance(wrong.served, int | float) and not isinstance(wrong.served, bool)
    if not numbers or spec["aggregation"] not in (
        "Count",
        "Sum",
        "DistinctCount",
        "SessionCount",
        "DecayedSum",
        "DecayedCount",
    ):
        return False
    return abs(wrong.served) > abs(float(wrong.expected or 0))


def whole_views(customer: Customer, purpose: str, told: dict[str, Any]) -> Difference:
    """An answer whose views are not what the customer's decisions make of them."""
    expected = "served" if customer.may_be_read(purpose) else "withheld"
    return Difference(customer.subject, purpose, "(views)", expected, told["views"], False, customer.history)


def sees_one_event(client: httpx.Client, customers: list[Customer], db: duckdb.DuckDBPyConnection) -> bool:
    """Whether the comparison would have found a single event that was lost, and one that counted twice.

    Tried by telling DuckDB of one more than was written, and then of one less. ``db`` is spoilt by it.
    """
    newest = "(SELECT max(t_ms) FROM orders WHERE customer = ?)"
    name = [customers[0].customer_id]
    db.execute(f"INSERT INTO orders SELECT * REPLACE (tie + 1 AS tie) FROM orders WHERE t_ms = {newest}", name)
    lost = compare(client, customers, db).lost
    db.execute(f"DELETE FROM orders WHERE t_ms = {newest}", name)
    doubled = compare(client, customers, db).doubled
    return bool(lost and doubled)
