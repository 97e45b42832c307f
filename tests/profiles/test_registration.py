"""Registration of customers."""

from datetime import datetime

import pytest

from featurestore.consent.errors import WrongDate
from featurestore.consent.models import ConsentRecord, PermissionChange
from featurestore.customers import selectors
from featurestore.customers.models import Customer
from featurestore.identity import IdentifierError, subject_of
from featurestore.permission import Denial, PurposePermission
from featurestore.profiles import services
from featurestore.profiles.services import Registration, register, register_many
from tests.kit.clock import at, ms
from tests.kit.shop import Shop


def test_registration_grants_only_purposes_without_consent(shop: Shop) -> None:
    ann = shop.register().customer
    stored = shop.stored(ann.subject)
    assert stored is not None
    assert {name: grant.allowed for name, grant in stored.purposes.items()} == dict.fromkeys(
        ["analytics", "delivery", "fraud"], True
    )
    assert shop.read(ann.subject, "service") is Denial.NO_RECORD
    assert not ConsentRecord.objects.exists()


def test_registration_is_in_effect_on_return(shop: Shop) -> None:
    assert shop.register().effective
    assert not PermissionChange.objects.filter(published_at=None).exists()


def test_registration_is_pending_without_the_store(shop: Shop) -> None:
    shop.store.available = False
    assert not shop.register().effective
    assert not shop.register().effective
    shop.store.available = True
    assert Customer.objects.count() == 1


def test_repeated_registration_changes_nothing(shop: Shop) -> None:
    first, second = shop.register(), register("ann", "us", "other", now=at(5))
    assert (first.created, second.created) == (True, False)
    assert second.customer.region == "eu"
    assert PermissionChange.objects.count() == 1


def test_subject_is_a_keyed_hash_of_the_customer_id(shop: Shop) -> None:
    subject = shop.register().customer.subject
    assert subject == subject_of("ann", b"the-tests-subject-secret-of-more-than-32-characters")
    assert "ann" not in subject


def test_grant_starts_a_second_later_or_at_the_imported_date(shop: Shop) -> None:
    fresh, imported = shop.register("ann", when=10), shop.register("bob", when=10, since=at(-1000))
    for registered, since in ((fresh, at(11)), (imported, at(-1000))):
        grant = shop.read(registered.customer.subject, "fraud")
        assert isinstance(grant, PurposePermission)
        assert grant.since_ms == ms(since)


def test_registration_in_the_future_is_refused(shop: Shop) -> None:
    with pytest.raises(WrongDate, match="future"):
        shop.register(since=at(1))
    assert not Customer.objects.exists()


@pytest.mark.parametrize("since", ["9999-12-31T23:59:59-14:00", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_registration_with_a_date_out_of_bounds_is_refused(shop: Shop, since: str) -> None:
    with pytest.raises(WrongDate, match="1970 and 9000"):
        shop.register(since=datetime.fromisoformat(since))
    assert not Customer.objects.exists()


@pytest.mark.parametrize("customer_id", ["", "x" * 257, "a\0b", "line\nbreak"])
def test_invalid_customer_id_is_refused(shop: Shop, customer_id: str) -> None:
    with pytest.raises(IdentifierError):
        shop.register(customer_id)
    assert not Customer.objects.exists()


def test_bulk_registration_is_idempotent(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "BATCH_SIZE", 100)
    backfill = [Registration(f"c{n}", "eu", "acme", at(-n)) for n in range(250)]
    shop.register("c7")
    assert register_many(iter(backfill), now=at()) == 249
    assert register_many(backfill, now=at(1)) == 0
    assert len(list(shop.store.subjects())) == Customer.objects.count() == 250
    assert not PermissionChange.objects.filter(published_at=None).exists()


def test_invalid_row_fails_only_its_batch(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "BATCH_SIZE", 100)
    backfill = [Registration(f"c{n}", "eu", "acme") for n in range(100)]
    with pytest.raises(IdentifierError):
        register_many([*backfill, Registration("d", "eu", "acme"), Registration("", "eu", "acme")], now=at())
    assert Customer.objects.count() == 100


def test_erased_customer_is_not_found(shop: Shop) -> None:
    ann = shop.register().customer
    assert selectors.find_customers(["ann"]) == {"ann": ann}
    Customer.objects.filter(pk=ann.pk).update(erased_at=at())
    assert selectors.find_customers(["ann"]) == {}
