"""Pauses through data locations: the permission stops the processing, and no location deletes anything."""

import pytest

from featurestore.customers.selectors import person_of
from featurestore.locations import Location, Registry, prove_all
from featurestore.permission import Denial, PurposePermission
from featurestore.row_locations import data_locations
from tests.kit.shop import Shop
from tests.locations.written_facts import Servers, register

LOCATIONS = data_locations().in_order()
WHO = {"actor": "sam", "reason": "The customer contests the data."}
pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def ann(shop: Shop) -> str:
    """The subject of a registered customer who allows two purposes."""
    shop.register("ann", when=10)
    shop.give(customer_id="ann", when=20)
    return shop.give("personalisation", customer_id="ann", when=20).record.customer.subject


def test_pause_holds_every_purpose_until_it_is_lifted_and_is_repeatable(
    shop: Shop, ann: str, locations: Registry
) -> None:
    permissions, person = locations["permissions"], person_of("ann")
    assert permissions.pause(person, **WHO) == 5
    assert shop.read(ann) is Denial.PAUSED
    assert shop.read(ann, "fraud") is Denial.PAUSED
    assert permissions.pause(person, **WHO) == 0


def test_pause_of_a_purpose_holds_no_other(shop: Shop, ann: str, locations: Registry) -> None:
    permissions, person = locations["permissions"], person_of("ann", purposes=["service"])
    assert permissions.pause(person, **WHO) == 1
    assert permissions.pause(person, **WHO) == 0
    assert shop.read(ann) is Denial.PAUSED
    assert isinstance(shop.read(ann, "personalisation"), PurposePermission)


def test_nothing_is_paused_of_a_stranger_of_an_erased_customer_or_by_source(ann: str, locations: Registry) -> None:
    permissions = locations["permissions"]
    assert permissions.pause(person_of("nobody"), **WHO) == 0
    assert permissions.pause(person_of("ann", sources=["orders"]), **WHO) == 0
    permissions.erase(person_of("ann"), None, 1000)
    assert permissions.pause(person_of("ann"), **WHO) == 0


@pytest.mark.parametrize("location", [one for one in LOCATIONS if one.name != "permissions"], ids=lambda one: one.name)
def test_other_locations_leave_it_to_the_permission(servers: Servers, location: Location) -> None:
    register(servers, "bea")
    before = prove_all(location, person_of("bea"))
    assert location.pause(person_of("bea"), **WHO) == 0
    assert prove_all(location, person_of("bea")) == before
