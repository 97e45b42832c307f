"""An erasure while the database's disk is full, from any write on: it waits, and ends as if nothing had happened."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection

from featurestore.locations import LocationUnavailable
from featurestore.requests.erasure.progress import progress_of
from featurestore.row_locations import reached_database
from tests.erasure.test_kills import is_ended, prepared
from tests.kit.erasures import ErasureEnvironment

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
WRITES = ("INSERT", "UPDATE", "DELETE")
BETWEEN = 3
"""Every third write is the first that fails."""
MESSAGES = (
    "database or disk is full",
    'could not extend file "base/5/16384": No space left on device\nHINT:  Check free disk space.',
)


@contextmanager
def full_from(number: int) -> Iterator[list[int]]:
    """Refuse every write from the one of this number on; the list is as long as the writes that were done."""
    written: list[int] = []

    def wrapper(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        if sql.startswith(WRITES):
            if len(written) >= number:
                raise OperationalError(MESSAGES[0])
            written.append(1)
        return execute(sql, *args)

    with connection.execute_wrapper(wrapper):
        yield written


def test_erasure_goes_on_after_a_full_disk_as_if_nothing_had_happened(erasures: ErasureEnvironment) -> None:
    number, when, hindered, finished = 0, 1_000.0, 0, False
    while not finished:
        name, when = f"full{number}", when + 10_000
        erasure = prepared(erasures, name, when)
        with full_from(number):
            finished = True
            for walk in range(2):
                try:
                    erasures.walk(when + 10 * (walk + 1))
                except OperationalError:
                    finished = False
        hindered += not finished
        for walk in range(3):  # the lease that could not be given back has to end first
            erasures.walk(when + 5000 + 10 * walk)
        is_ended(erasures, erasure, name)
        number += BETWEEN
    assert hindered > 5


@pytest.mark.parametrize("message", MESSAGES)
def test_location_whose_disk_is_full_says_so_and_is_tried_again(erasures: ErasureEnvironment, message: str) -> None:
    with pytest.raises(LocationUnavailable, match="disk is full") as refused, reached_database():
        raise OperationalError(message)
    erasures.places["events"].error = refused.value
    erasure = erasures.start()
    erasures.walk_to_answer()
    shown = {one.title: one for one in progress_of(erasure).locations}
    assert shown["Location events"].why.endswith("Free space on it.")
    assert "Location events, and tries again by itself" in progress_of(erasure).next
    assert "HINT" not in shown["Location events"].why
    erasures.places["events"].error = None
    erasures.walk(5000)
    erasure.refresh_from_db()
    assert (erasure.state, erasures.left()) == ("closed", 0)
