"""An export of an idle customer's data has the values, too: it waits until they are pushed again."""

import pytest

from featurestore.consent.locations import store as store_location
from featurestore.consent.locations.store import StoreLocation
from featurestore.consent.outbox.value_requests import ValueRequests
from featurestore.customers.selectors import person_of
from featurestore.locations import LocationUnavailable
from featurestore.permission import Permission, PurposePermission
from tests.kit.clock import Clock
from tests.kit.shop import Shop
from tests.retention.test_evictions import Customers

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_an_export_requests_the_values_of_an_idle_customer_and_waits(
    shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = ValueRequests(clock)
    monkeypatch.setattr(store_location, "value_requests", lambda: requests)
    customers, location = Customers(shop), StoreLocation()
    subject = customers.add("ann", 40)
    stored = shop.store.contents([subject])[0]
    items = len(location.export(person_of("ann"), None, 100).items)
    assert items == 2
    customers.store.evict([subject], 2**32)
    for _ in range(2):
        with pytest.raises(LocationUnavailable, match="being pushed to the store again"):
            location.export(person_of("ann"), None, 100)
    assert [purge.subject for purge in shop.sent.sent] == [subject]
    mark = shop.store.contents([subject])[0]["r"]
    shop.store._fields[subject] = {"spend/service": stored["spend/service"]}
    shop.store.drop_disallowed({subject: mark})
    assert len(location.export(person_of("ann"), None, 100).items) == items


def test_values_of_a_paused_purpose_are_not_waited_for(shop: Shop) -> None:
    customers = Customers(shop)
    subject = customers.add("ann", 40)
    customers.store.evict([subject], 2**32)
    paused = PurposePermission(False, 1, 0, paused=True)
    customers.store.publish_permissions({subject: Permission(9, 9, {"service": paused})})
    assert len(StoreLocation().export(person_of("ann"), None, 100).items) == 1
    assert shop.sent.sent == []
