"""An erasure whose process is killed before any SQL statement is ended by the next walk, as if nothing had happened."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from featurestore.consent.models import PermissionChange
from featurestore.customers.selectors import subject_of_customer
from featurestore.customers.suppressions import find_suppressions
from featurestore.requests.erasure.models import Erasure
from tests.kit.clock import at
from tests.kit.erasures import ErasureEnvironment

BETWEEN_KILLS = {"sqlite": 1, "postgres": 9}
"""PostgreSQL is killed before every ninth statement: it does what SQLite does, and takes longer."""


class Killed(BaseException):
    """End of the process: no handler of errors sees it, and every later statement fails too."""


@contextmanager
def killed_before(number: int) -> Iterator[list[int]]:
    """Fail every statement from the one of this number on; the list is as long as the statements executed."""
    executed: list[int] = []

    def wrapper(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        if len(executed) >= number:
            raise Killed
        executed.append(1)
        return execute(sql, *args)

    with connection.execute_wrapper(wrapper):
        yield executed


def prepared(erasures: ErasureEnvironment, name: str, when: float) -> Erasure:
    """An erasure of a new customer with three things in each location, before its first walk."""
    subject = erasures.shop.register(name, when).customer.subject
    for place in list(erasures.places.values())[:-1]:
        place.things[subject] = [f"{name} {number}" for number in range(3)]
    erasures.relay(when + 1)
    return erasures.start(name, when + 2)


def is_ended(erasures: ErasureEnvironment, erasure: Erasure, name: str) -> None:
    erasure.refresh_from_db()
    assert (erasure.state, erasures.left(name)) == ("closed", 0)
    assert set(erasures.states(erasure).values()) == {"checked"}
    assert all(step.erased <= 3 for step in erasure.steps.all())
    assert find_suppressions([name])
    assert PermissionChange.objects.filter(subject=subject_of_customer(name), kind="erasure").count() == 1
    assert erasure.request.events.filter(kind__in=["answered", "closed"]).count() == 2


def test_a_kill_before_any_statement_changes_nothing_in_the_end(erasures: ErasureEnvironment, database: str) -> None:
    number, when, kills, finished = 0, 1_000.0, 0, False
    while not finished:
        name, when = f"killed{number}", when + 10_000
        erasure = prepared(erasures, name, when)
        with killed_before(number) as executed:
            finished = True
            for walk in range(2):
                try:
                    erasures.walk(when + 10 * (walk + 1))
                except Killed:
                    finished = False
                    break
        kills += not finished
        for walk in range(3):  # the lease of the killed process has to end first
            erasures.walk(when + 1000 + 10 * walk)
        is_ended(erasures, erasure, name)
        number += BETWEEN_KILLS[database]
    assert kills > 60 / BETWEEN_KILLS[database]
    assert len(executed) < number
    assert at(when) < erasure.closed_at
