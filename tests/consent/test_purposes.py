"""Purposes and notices."""

import hashlib

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from adminsite.management.commands import seed
from featurestore.consent import services
from featurestore.consent.errors import ImmutableRecord, InactivePurpose, PurposeChanged, UnknownPurpose, WrongNotice
from featurestore.consent.models import ConsentRecord, Notice, PermissionChange, Purpose
from featurestore.consent.outbox.publication import publish
from featurestore.consent.outbox.relay import relay_due
from featurestore.consent.services import expiry, purposes
from featurestore.definitions import LawfulBasis
from featurestore.definitions import Purpose as CatalogPurpose
from featurestore.installed_catalog import catalog
from featurestore.permission import Denial, PurposePermission
from tests.kit.clock import at
from tests.kit.shop import Shop


def test_purpose_keeps_its_basis_and_may_change_its_texts(shop: Shop) -> None:
    assert services.define_purpose("service", title="Help", lawful_basis="consent").title == "Help"
    with pytest.raises(PurposeChanged, match="rests on consent"):
        services.define_purpose("service", title="Help", lawful_basis="contract")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "two words"},
        {"name": ""},
        {"lawful_basis": "because"},
        {"title": ""},
        {"validity_days": 0},
        {"validity_days": -1},
        {"validity_days": 36_501},
    ],
    ids=str,
)
def test_invalid_purpose_is_refused(shop: Shop, change: dict) -> None:
    with pytest.raises(ValidationError):
        services.define_purpose(**({"name": "new", "title": "New", "lawful_basis": "consent"} | change))


def test_new_purpose_is_granted_to_earlier_customers(shop: Shop) -> None:
    ann, bob = shop.register("ann").customer, shop.register("bob").customer
    services.define_purpose("warranty", title="Warranty", lawful_basis="contract")
    assert shop.read(ann.subject, "warranty") is Denial.NO_RECORD
    assert services.backfill_purposes(at(5)) == 2
    assert services.backfill_purposes(at(6)) == 0
    for customer in (ann, bob):
        assert isinstance(shop.read(customer.subject, "warranty"), PurposePermission)
    assert Purpose.objects.get(name="warranty").backfilled


def test_retired_purpose_is_denied_to_every_customer(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give("service")
    for purpose in ("service", "analytics"):
        assert services.retire_purpose(purpose, at(5)).effective
    assert services.expire_due(at(5)) == 0
    assert shop.read(ann.subject, "service") is Denial.REFUSED
    assert shop.read(ann.subject, "analytics") is Denial.REFUSED
    assert {record.reason for record in ConsentRecord.objects.filter(decision="expired")} == {"the purpose was retired"}
    with pytest.raises(InactivePurpose, match="retired"):
        shop.give("service", when=9)
    with pytest.raises(PurposeChanged, match="define a new purpose"):
        services.define_purpose("service", title="Service", lawful_basis="consent")


def test_retired_purpose_may_be_withdrawn(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give("service")
    services.retire_purpose("service", at())
    assert shop.withdraw("service", when=1).effective
    assert shop.read(ann.subject, "service") is Denial.REFUSED


def test_interrupted_retirement_publishes_no_grant(shop: Shop) -> None:
    ann = shop.register().customer
    given = shop.give("service")
    Purpose.objects.filter(name="service").update(active=False)  # committed, and then the process died
    assert publish([ann.subject]) == {ann.subject}
    assert shop.read(ann.subject, "service") is Denial.REFUSED
    assert services.expire_due(at(5)) == 1
    assert PermissionChange.objects.filter(sequence__gt=given.sequence).get().purge


def test_retirement_with_the_store_unavailable_is_not_effective_yet(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give("service")
    shop.store.available = False
    assert not services.retire_purpose("service", at(5)).effective
    shop.store.available = True
    assert relay_due(at(6)).purged == 1
    assert shop.read(ann.subject, "service") is Denial.REFUSED


def test_long_retirement_is_finished_by_the_task(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "BATCH_SIZE", 1)
    monkeypatch.setattr(purposes, "EXPIRED_AT_ONCE", 2)
    for customer_id in ("ann", "bob", "cat"):
        shop.register(customer_id)
        shop.give("service", customer_id=customer_id)
    assert not services.retire_purpose("service", at(5)).effective
    assert services.expire_due(at(6)) == 1


def test_registration_after_a_retirement_does_not_grant_it(shop: Shop) -> None:
    services.retire_purpose("analytics")
    assert shop.read(shop.register().customer.subject, "analytics") is Denial.NO_RECORD


def test_unknown_purpose_is_not_retired(shop: Shop) -> None:
    with pytest.raises(UnknownPurpose):
        services.retire_purpose("nothing")


def test_notice_is_stored_with_its_hash(shop: Shop) -> None:
    notice = services.publish_notice("privacy", 2, "de", "Was wir tun.", ["service"], at(4))
    assert notice.reference == "privacy/2/de"
    assert notice.sha256 == hashlib.sha256(b"Was wir tun.").hexdigest()
    assert notice.published_at == at(4)


def test_notice_is_published_again_only_unchanged(shop: Shop) -> None:
    first = services.publish_notice("privacy", 2, "en", "Text.", ["service"])
    assert services.publish_notice("privacy", 2, "en", "Text.", ["service"]) == first
    for body, explained in (("Other text.", ["service"]), ("Text.", ["service", "fraud"])):
        with pytest.raises(ImmutableRecord, match="publish a new version"):
            services.publish_notice("privacy", 2, "en", body, explained)


@pytest.mark.parametrize(
    ("body", "purposes", "error"),
    [(" ", ["service"], WrongNotice), ("Text.", [], WrongNotice), ("Text.", ["nothing"], UnknownPurpose)],
)
def test_notice_without_text_or_purpose_is_refused(shop: Shop, body: str, purposes: list, error: type) -> None:
    with pytest.raises(error):
        services.publish_notice("privacy", 2, "en", body, purposes)
    assert Notice.objects.count() == 1


@pytest.mark.parametrize("database", ["sqlite-empty", "postgres-empty"], indirect=True)
@pytest.mark.usefixtures("database", "store")
def test_seed_command_is_idempotent(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("seed")
    call_command("seed")
    assert {purpose.name: purpose.lawful_basis for purpose in Purpose.objects.all()} == {
        "service": "consent",
        "personalisation": "consent",
        "analytics": "legitimate_interest",
        "fraud": "legal_obligation",
    }
    assert Notice.objects.get().reference == "privacy/1/en"
    assert "4 purposes" in capsys.readouterr().out


@pytest.mark.parametrize("database", ["sqlite-empty"], indirect=True)
@pytest.mark.usefixtures("database", "store")
def test_seed_after_a_change_of_the_catalog_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    call_command("seed")
    shipped = catalog()
    added = shipped._replace(purposes=(*shipped.purposes, CatalogPurpose("news", "News", LawfulBasis.CONSENT, "News.")))
    monkeypatch.setattr(seed, "catalog", lambda: added)
    with pytest.raises(CommandError, match=r"purposes have changed since: manage.py seed --notice-version 2"):
        call_command("seed")
    call_command("seed", notice_version=2)
    assert set(Notice.objects.values_list("reference", flat=True)) == {"privacy/1/en", "privacy/2/en"}
    assert Notice.objects.get(version=2).purposes.filter(name="news").exists()
    other_basis = shipped.purposes[0]._replace(basis=LawfulBasis.CONTRACT)
    monkeypatch.setattr(seed, "catalog", lambda: shipped._replace(purposes=(other_basis,)))
    with pytest.raises(CommandError, match=r"rests on consent for good.* Rename it in the catalog's PURPOSES"):
        call_command("seed", notice_version=3)
