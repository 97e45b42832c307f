"""Comparison of the served values with DuckDB's values of the acknowledged events."""

import time
from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import duckdb
import httpx

from devservers.waiting import eventually
from tests.chaos.customers import SERVICES, Customer, batches, milliseconds, read, read_patiently, results_of, start_of
from tests.chaos.leak_monitor import disclosures
from tests.chaos.written_events import counted_too, create_counted_events, kafka_times
from tests.kit.oracle import Mismatch, Spec, mismatches

UP_TO_DATE_WITHIN_S = 180
MANY_TIMES = 20
Answers = dict[str, dict[str, Any]]  # by customer


class Difference(NamedTuple):
    """A served value that differs from DuckDB's. ``more``: it is a larger count or sum, so an event counted twice."""

    subject: str
    purpose: str
    feature: str
    expected: Any
    got: Any
    more: bool
    history: list[str]


class Comparison(NamedTuple):
    """``lost``: values or views that lack an event; ``doubled``: that counted one twice; ``leaked``: not allowed."""

    compared: int
    withheld: int
    lost: list[Difference]
    doubled: list[Difference]
    leaked: list[Difference]


def wait_until_up_to_date(client: httpx.Client, customers: Sequence[Customer]) -> None:
    """Wait until every event written by now is served and every withdrawn purpose withheld."""
    now_ms = time.time() * 1000
    for purpose in SERVICES:
        for batch in batches(customers):
            waiting: list[object] = []

            def up_to_date(
                purpose: str = purpose, batch: Sequence[Customer] = batch, waiting: list[object] = waiting
            ) -> bool:
                answer = read(client, purpose, batch)
                if answer.status_code != 200:
                    waiting[:] = [answer.text]
                    return False
                waiting[:] = [
                    (customer.subject, customer.expected[purpose], customer.history, result)
                    for customer, result in zip(batch, results_of(answer), strict=True)
                    if not is_up_to_date(result, customer.may_be_read(purpose), now_ms)
                ]
                return not waiting

            try:
                eventually(up_to_date, f"all is up to date for {purpose}", UP_TO_DATE_WITHIN_S, 0.2)
            except AssertionError as error:
                raise AssertionError(f"{error}: {waiting[:3]}") from None


def is_up_to_date(result: dict[str, Any], allowed: bool, now_ms: float) -> bool:
    """Whether an answer is withheld if it must be, and else fresh up to a time."""
    for view in result["views"].values():
        if not allowed and view["status"] != "withheld":
            return False
        if allowed and (view["age_s"] is None or milliseconds(result["at"]) - view["age_s"] * 1000 < now_ms):
            return False
    return True


def adopt_starts(client: httpx.Client, customers: Sequence[Customer]) -> list[Difference]:
    """Adopt the answers' starts where the store may have had a grant late. Returns other starts that are not expected.

    A start that is too early claims events that were not counted.
    """
    wrong = []
    for purpose in SERVICES:
        allowing = [customer for customer in customers if customer.may_be_read(purpose)]
        for batch in batches(allowing):
            for customer, answered in zip(batch, read_patiently(client, purpose, batch), strict=True):
                expected, start_ms = customer.expected[purpose], start_of(answered)
                assert expected.since_ms is not None
                if expected.late and start_ms > expected.since_ms:
                    unclear = (expected.since_ms, start_ms)
                    customer.expected[purpose] = expected._replace(since_ms=start_ms, unclear=unclear)
                elif start_ms != expected.since_ms:
                    wrong.append(
                        Difference(
                            customer.subject,
                            purpose,
                            "(start)",
                            expected.since_ms,
                            start_ms,
                            False,
                            customer.history,
                        )
                    )
    return wrong


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
    """Compare every feature of every customer for every purpose, read through the API."""
    result = Comparison(0, 0, [], [], [])
    by_id = {customer.customer_id: customer for customer in customers}
    for purpose, specs in specifications(client).items():
        by_time: dict[int, Answers] = {}
        for batch in batches(customers):
            for customer, answered in zip(batch, read_patiently(client, purpose, batch), strict=True):
                served = [view for view in answered["views"].values() if view["status"] in ("present", "missing")]
                if customer.may_be_read(purpose):
                    if len(served) < len(answered["views"]):
                        result.lost.append(view_difference(customer, purpose, answered))
                    by_time.setdefault(milliseconds(answered["at"]), {})[customer.customer_id] = answered["features"]
                else:
                    result = result._replace(withheld=result.withheld + 1)
                    if disclosures(answered):
                        result.leaked.append(view_difference(customer, purpose, answered))
        for now_ms, answers in by_time.items():
            result = result._replace(compared=result.compared + len(specs) * len(answers))
            for mismatch, spec in list(mismatches_of(db, purpose, specs, answers, now_ms)):
                customer = by_id[mismatch.customer]
                if counts_unclear_events(db, customer, purpose, spec, mismatch, now_ms):
                    continue
                more = counted_more(spec, mismatch)
                difference = Difference(
                    customer.subject,
                    purpose,
                    mismatch.feature,
                    mismatch.expected,
                    mismatch.served,
                    more,
                    customer.history,
                )
                (result.doubled if more else result.lost).append(difference)
    return result


def mismatches_of(
    db: duckdb.DuckDBPyConnection, purpose: str, specs: list[Spec], answers: Answers, now_ms: int
) -> Iterator[tuple[Mismatch, Spec]]:
    for source in {spec["source"] for spec in specs}:
        create_counted_events(db, source, purpose)
        for spec in specs:
            if spec["source"] == source:
                served = {customer: features[spec["name"]] for customer, features in answers.items()}
                yield from ((mismatch, spec) for mismatch in mismatches(db, spec, served, now_ms))


def counts_unclear_events(
    db: duckdb.DuckDBPyConnection, customer: Customer, purpose: str, spec: Spec, mismatch: Mismatch, now_ms: int
) -> bool:
    """Whether the value is right with some events from before the grant's later start: those of a stretch of time.

    The streams passed some by until the store had the grant, and counted some until it had the later start.
    """
    expected = customer.expected[purpose]
    if not (unclear := expected.unclear):
        return False
    own_start_ms = unclear[0] if expected.counts_from_ms is None else expected.counts_from_ms
    for first, last in stretches(kafka_times(db, spec["source"], customer, *unclear)):
        with counted_too(db, customer, purpose, (own_start_ms, first, last + 1)):
            create_counted_events(db, spec["source"], purpose)
            if not list(mismatches(db, spec, {customer.customer_id: mismatch.served}, now_ms)):
                return True
    return False


def stretches(times: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of the stretches of times; of many times, of those that begin or end with all of them."""
    for first, last in combinations_with_replacement(times, 2):
        if len(times) <= MANY_TIMES or first == times[0] or last == times[-1]:
            yield first, last


def counted_more(spec: Spec, mismatch: Mismatch) -> bool:
    """Whether a count or sum is larger than expected; any other difference counts as lost."""
    is_number = isinstance(mismatch.served, int | float) and not isinstance(mismatch.served, bool)
    if not is_number or spec["aggregation"] not in (
        "Count",
        "Sum",
        "DistinctCount",
        "SessionCount",
        "DecayedSum",
        "DecayedCount",
    ):
        return False
    return abs(mismatch.served) > abs(float(mismatch.expected or 0))


def view_difference(customer: Customer, purpose: str, answered: dict[str, Any]) -> Difference:
    """An answer whose views contradict the customer's permission."""
    expected = "served" if customer.may_be_read(purpose) else "withheld"
    return Difference(customer.subject, purpose, "(views)", expected, answered["views"], False, customer.history)


def detects_one_event(client: httpx.Client, customers: list[Customer], db: duckdb.DuckDBPyConnection) -> bool:
    """Whether the comparison detects a single lost event, and one that counted twice.

    It adds an event to ``db``, then deletes one: ``db`` can't be used afterwards.
    """
    newest = "(SELECT max(t_ms) FROM orders WHERE customer = ?)"
    name = [customers[0].customer_id]
    db.execute(
        f"INSERT INTO orders SELECT * REPLACE (event_id_hash + 1 AS event_id_hash) FROM orders WHERE t_ms = {newest}",
        name,
    )
    lost = compare(client, customers, db).lost
    db.execute(f"DELETE FROM orders WHERE t_ms = {newest}", name)
    doubled = compare(client, customers, db).doubled
    return bool(lost and doubled)
