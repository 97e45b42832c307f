"""An export of an idle customer's data has the values, too: it waits until they are pushed again."""

import pytest

from featurestore.consent.locations import store as store_location
from featurestore.consent.locations.store import StoreLocation
from featurestore.consent.outbox.value_requests import ValueRequests
from featurestore.customers.selectors import person_of
from featurestore.locations import LocationUnavailable
from featurestore.permission import Permission, PurposePermission
from featurestore.store.protocol import WHATEVER_IS_KEPT, FieldWrite, WriteOutcome
from featurestore.tiles.stored_field import fencing_header_of
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


def test_values_of_a_paused_purpose_are_waited_for_and_exported(shop: Shop) -> None:
    customers, location = Customers(shop), StoreLocation()
    subject = customers.add("ann", 40)
    stored = shop.store.contents([subject])[0]["spend/service"]
    customers.store.evict([subject], 2**32)
    paused = PurposePermission(False, fencing_header_of(stored).grant_id, 0, paused=True)
    customers.store.publish_permissions({subject: Permission(9, 9, {"service": paused})})
    with pytest.raises(LocationUnavailable, match="being pushed to the store again"):
        location.export(person_of("ann"), None, 100)
    kept = FieldWrite(subject, "spend/service", "service", stored)
    assert shop.store.write([kept], WHATEVER_IS_KEPT) == [WriteOutcome.DONE]
    shop.store.drop_disallowed({subject: shop.store.contents([subject])[0]["r"]})
    items = location.export(person_of("ann"), None, 100).items
    assert [item.category for item in items] == ["permission", "feature values"]
