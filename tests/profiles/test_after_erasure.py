"""Registration of erased identifiers: refused and counted at every entrance, unless the customer came back."""

import pytest

from featurestore.config import settings
from featurestore.consent.errors import UnknownCustomer, WrongDate
from featurestore.consent.outbox.publication import permissions_of
from featurestore.customers import suppressions
from featurestore.customers.models import Customer, Suppression
from featurestore.customers.selectors import subject_of_customer
from featurestore.customers.suppressions import Entry, add_suppressions, entry_of, find_suppressions, parse_entry
from featurestore.profiles.errors import ErasedCustomer, KeptByHold
from featurestore.profiles.services import Registration, register_many
from tests.kit.clock import at, ms
from tests.kit.shop import Shop

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
ERASED_AT = at(100)


@pytest.fixture
def erased(shop: Shop) -> Shop:
    """A shop where ann was erased."""
    add_suppressions([entry_of("ann")], ERASED_AT)
    return shop


def refused() -> int:
    return Suppression.objects.get().refused


def test_erased_customer_is_not_registered_again(erased: Shop) -> None:
    before = suppressions.REFUSED.labels("registration")._value.get()
    for count in (1, 2):
        with pytest.raises(ErasedCustomer, match="after_erasure"):
            erased.register("ann", 200)
        assert refused() == count
    assert suppressions.REFUSED.labels("registration")._value.get() == before + 2
    assert Suppression.objects.get().refused_at == at(200)
    assert not Customer.objects.exists()


@pytest.mark.parametrize("arriving", ["\u00e1nn", "a\u0301nn", " \u00e1nn", "\u00e1nn\u200b"])
def test_other_spellings_of_an_erased_identifier_are_suppressed(shop: Shop, arriving: str) -> None:
    add_suppressions([entry_of("\u00e1nn")], ERASED_AT)
    assert find_suppressions([arriving, "bob", "ann", "\u00c1nn"]).keys() == {arriving}


def test_import_leaves_erased_customers_out(erased: Shop) -> None:
    people = [Registration(name, "eu", "acme", at()) for name in ("ann", "bob", "carl")]
    assert register_many(people, now=at(200)) == 2
    assert set(Customer.objects.values_list("customer_id", flat=True)) == {"bob", "carl"}
    assert refused() == 1


def test_consent_of_an_erased_customer_is_not_recorded(erased: Shop) -> None:
    with pytest.raises(UnknownCustomer):
        erased.give(when=200)
    assert not Customer.objects.exists()


def test_customer_who_came_back_begins_after_the_erasure(erased: Shop) -> None:
    customer = erased.register("ann", 200, after_erasure=True).customer
    permission = permissions_of([customer.subject])[customer.subject].purposes
    assert {name: (one.allowed, one.since_ms >= ms(at(200))) for name, one in permission.items() if one.allowed} == {
        "analytics": (True, True), "delivery": (True, True), "fraud": (True, True),
    }  # fmt: skip
    assert not Suppression.objects.exists()
    with pytest.raises(WrongDate, match="reach back"):
        erased.give(when=300, since=at(50), history_follows=True)
    erased.give(when=300)
    assert permissions_of([customer.subject])[customer.subject].purposes["service"].since_ms > ms(at(300))


def test_import_from_before_the_erasure_is_refused(erased: Shop) -> None:
    with pytest.raises(WrongDate, match="reach back"):
        erased.register("ann", 200, since=at(50), after_erasure=True)
    assert not Customer.objects.exists()
    assert Suppression.objects.exists()
    assert erased.register("ann", 200, since=at(150), after_erasure=True).created


def test_after_erasure_says_nothing_of_somebody_who_was_not_erased(shop: Shop) -> None:
    assert shop.register("bob", after_erasure=True).created
    assert not shop.register("bob", 5, after_erasure=True).created


def test_customer_whose_row_is_kept_is_not_registered_again(erased: Shop) -> None:
    Customer.objects.create(
        customer_id="ann",
        subject=subject_of_customer("ann"),
        region="eu",
        brand="acme",
        since=at(),
        erased_at=ERASED_AT,
    )
    with pytest.raises(KeptByHold):
        erased.register("ann", 200, after_erasure=True)
    with pytest.raises(ErasedCustomer):
        erased.register("ann", 200)
    assert Suppression.objects.exists()


def test_entries_of_an_earlier_key_suppress_for_ever(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    add_suppressions([entry_of("ann")], ERASED_AT)
    old = settings()
    new = old.model_copy(update={"suppression_keys": f"2:{'n' * 40},{old.suppression_keys}"})
    monkeypatch.setattr(suppressions, "settings", lambda: new)
    assert find_suppressions(["ann", "bob"]).keys() == {"ann"}
    assert entry_of("ann").key_id == "2"
    add_suppressions([entry_of("bob")], ERASED_AT)
    assert find_suppressions(["ann", "bob"]).keys() == {"ann", "bob"}
    monkeypatch.setattr(suppressions, "settings", lambda: old)
    assert find_suppressions(["bob"]) == {}  # its key was removed


def test_entry_is_stored_once_and_keeps_the_latest_time(shop: Shop) -> None:
    for when in (100, 300, 200):
        add_suppressions([entry_of("ann"), entry_of("ann")], at(when))
    assert Suppression.objects.get().erased_at == at(300)


def test_entry_becomes_a_text_and_back(shop: Shop) -> None:
    entry = Entry("1", "nfc", "ab" * 32)
    assert parse_entry(str(entry)) == entry
    with pytest.raises(ValueError, match="unpack"):
        parse_entry("nfc:ab")


def test_digest_is_neither_the_subject_nor_made_with_its_key(shop: Shop) -> None:
    assert entry_of("ann").digest[:32] != subject_of_customer("ann")
