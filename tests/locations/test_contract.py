"""Contract of every data location: export, erasure and proof of written facts, of one customer and of no other."""

import itertools
import json

import pytest
from django.db import connection

from featurestore.config import settings
from featurestore.consent.models import PermissionChange
from featurestore.consent.outbox.relay import relay_due
from featurestore.customers.selectors import person_of
from featurestore.locations import (
    AT_ONCE,
    ErasePage,
    Item,
    Location,
    LocationUnavailable,
    Registry,
    erase_all,
    export_all,
    prove_all,
)
from featurestore.row_locations import RowLocation, data_locations
from tests.kit.clock import at
from tests.locations.written_facts import FACTS, WRITERS, Servers, register

NAMES = [location.name for location in data_locations().in_order()]
IN_ROWS = [location.name for location in data_locations().in_order() if isinstance(location, RowLocation)]
CASES = [*((name, "sqlite") for name in NAMES), *((name, "postgres") for name in IN_ROWS)]
UNREACHED = {
    "KAFKA_BOOTSTRAP": "127.0.0.1:1",
    "CONTROL_URL": "redis://127.0.0.1:1/1",
    "KEY_STORE_URL": "sqlite:////proc/none/keys.sqlite3",
}
customers = itertools.count(1)

each_location = pytest.mark.parametrize(("name", "database"), CASES, indirect=["database"])


def write_facts(servers: Servers, name: str) -> tuple[str, str]:
    """Two customers with the facts of a location."""
    number = next(customers)
    both = f"ann-{number}", f"bob-{number}"
    for customer in both:
        register(servers, customer)
    for customer in both:
        WRITERS[name](servers, customer)
    return both


def text_of(location: Location, customer: str, limit: int = 1000) -> str:
    return json.dumps([item._replace(at=str(item.at)) for item in export_all(location, person_of(customer), limit)])


def erase_up_to(locations: Registry, name: str, customer: str) -> ErasePage:
    """Erase what must be erased before a location, and then that."""
    person = person_of(customer)
    for before in locations[name].erased_after:
        erase_up_to(locations, before, customer)
    erased = erase_all(locations[name], person)
    relay_due()  # what Celery does meanwhile
    PermissionChange.objects.update(journaled_at=at(10_000))
    return erased


def test_every_location_has_facts_to_write() -> None:
    assert set(NAMES) == WRITERS.keys() == FACTS.keys()


@each_location
def test_export_tells_the_written_facts_of_one_customer_and_nothing_of_another(
    servers: Servers, locations: Registry, name: str
) -> None:
    ann, bob = write_facts(servers, name)
    location = locations[name]
    told = text_of(location, ann)
    assert [fact for fact in FACTS[name] if fact.format(ann) not in told] == []
    assert bob not in told
    assert "Staff S" not in told
    for subject in (*person_of(ann).subjects, *person_of(bob).subjects):
        assert subject not in told
    for item in export_all(location, person_of(ann)):
        assert isinstance(item, Item)
        assert item.category
        assert item.origin
    assert list(export_all(location, person_of(f"nobody-{ann}"))) == []


@each_location
def test_pages_of_one_give_the_same_as_pages_of_a_thousand(servers: Servers, locations: Registry, name: str) -> None:
    ann, _ = write_facts(servers, name)
    location, person = locations[name], person_of(ann)
    timeless = [[item._replace(at=None) for item in export_all(location, person, limit)] for limit in (1, 1000)]
    assert timeless[0] == timeless[1]
    proofs = [prove_all(location, person, limit) for limit in (1, 1000)]
    assert proofs[0].traces == proofs[1].traces > 0
    assert proofs[0].unreadable == proofs[1].unreadable == 0


@each_location
def test_erasure_leaves_no_trace_and_is_repeatable_and_spares_others(
    servers: Servers, locations: Registry, name: str
) -> None:
    ann, bob = write_facts(servers, name)
    location, person = locations[name], person_of(ann)
    others = text_of(location, bob), prove_all(location, person_of(bob)).traces
    assert prove_all(location, person).traces > 0
    erase_up_to(locations, name, ann)
    again = erase_all(location, person)
    left = prove_all(location, person)
    assert again.erased == 0
    if location.gone_within() == AT_ONCE:
        assert (left.traces, again.kept) == (0, 0)
        assert prove_all(location, person_of(ann)).traces == 0, "nor for somebody who only knows the identifier"
    assert (text_of(location, bob), prove_all(location, person_of(bob)).traces) == others


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_server_that_does_not_answer_makes_its_locations_unavailable(
    servers: Servers, locations: Registry, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, _ = write_facts(servers, name)
    location, person = locations[name], person_of(ann)
    for variable, value in UNREACHED.items():
        monkeypatch.setenv(f"RAPPORT_{variable}", value)
    settings.cache_clear()
    monkeypatch.setattr("featurestore.topic_scan.TIMEOUT_S", 0.2)
    servers.shop.store.available = False
    connection.close()
    with monkeypatch.context() as without_database:
        without_database.setitem(connection.settings_dict, "NAME", "/no/such/folder/database")
        with pytest.raises(LocationUnavailable, match=r"does not answer: .+ Is (it|its Redis) running\?"):
            prove_all(location, person)
        with pytest.raises(LocationUnavailable, match="does not answer"):
            prove_all(location, person, 1)
