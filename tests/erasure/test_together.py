"""Erasures under way at the same time: locations are told of all of them, and a page asks the database little."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from featurestore.config import settings
from featurestore.locations import ErasePage, Person
from featurestore.requests.erasure import beginning
from featurestore.requests.erasure.models import Erasure, ErasureStep
from featurestore.topic_locations import looked_for
from tests.kit.erasures import ErasureEnvironment, MemoryLocation

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
CLOCK = "strftime('%Y-%m-%d %H:%M:%f', 'now')"


class NotingLocation(MemoryLocation):
    """A location that notes whom its calls are about, together."""

    told: Sequence[Person] = ()

    def erase(self, person: Person, after: str | None, limit: int) -> ErasePage:
        self.told = looked_for()
        return super().erase(person, after, limit)


@pytest.fixture
def told(erasures: ErasureEnvironment) -> NotingLocation:
    events = erasures.places["events"]
    events.__class__ = NotingLocation
    assert isinstance(events, NotingLocation)
    return events


def test_locations_are_told_of_all_who_are_being_erased(erasures: ErasureEnvironment, told: NotingLocation) -> None:
    for customer in ("ann", "bob"):
        erasures.start(customer)
    erasures.walk_to_answer()
    assert sorted(person.identifiers for person in told.told) == [("ann",), ("bob",)]
    assert looked_for() == ()


def test_erasure_that_begins_now_is_one_of_them(
    erasures: ErasureEnvironment, told: NotingLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has to be waited for if the journal is fast, or if there is none."""
    without_journal = settings().model_copy(update={"journal_topic": ""})
    monkeypatch.setattr(beginning, "settings", lambda: without_journal)
    erasures.start()
    erasures.walk(30)
    assert [person.identifiers for person in told.told] == [("ann",)]


def test_erasure_that_waits_for_stated_times_alone_is_none_of_them(
    erasures: ErasureEnvironment, told: NotingLocation
) -> None:
    erasures.places["store"].stays = timedelta(days=1)
    erasures.start("ann")
    erasures.walk_to_answer()
    erasures.start("bob", 50)
    erasures.walk_to_answer(60)
    assert [person.identifiers for person in told.told] == [("bob",)]


def test_erasure_that_can_not_be_read_keeps_no_other_from_being_carried_out(
    erasures: ErasureEnvironment, told: NotingLocation
) -> None:
    unreadable, other = erasures.start("ann"), erasures.start("bob")
    erasures.walk(30)
    Erasure.objects.filter(pk=unreadable.pk).update(encrypted_person="of another key")
    erasures.walk(40)
    assert [person.identifiers for person in told.told] == [("bob",)]
    unreadable.refresh_from_db()
    other.refresh_from_db()
    assert (unreadable.state, other.state) == ("erasing", "closed")
    assert "RAPPORT_CONTACT_KEY" in unreadable.waiting_for


def test_database_is_asked_for_the_time_a_few_times_a_walk_however_many_pages_there_are(
    erasures: ErasureEnvironment,
) -> None:
    times = []
    for customer, page in (("ann", 100), ("bob", 1)):
        erasure = erasures.start(customer)
        erasures.walk(30)
        for place in erasures.places.values():
            place.page = page
        with CaptureQueriesContext(connection) as queries:
            erasures.walk(40)
        times.append(sum(CLOCK in one["sql"] for one in queries))
        assert set(ErasureStep.objects.filter(erasure=erasure).values_list("state", flat=True)) == {"checked"}
    assert times[0] == times[1]
