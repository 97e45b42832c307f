"""Expiry of grants."""

import pytest

from featurestore.consent import services
from featurestore.consent.models import ConsentRecord, PermissionChange
from featurestore.consent.permission_derivation import Decision
from featurestore.consent.services import Choice, expiry
from featurestore.permission import Denial, PurposePermission
from featurestore.profiles.services import Registration, register_many
from tests.kit.clock import at, ms
from tests.kit.shop import Shop


def test_expired_grant_is_denied_before_its_end_is_recorded(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give(until=at(100))
    assert isinstance(shop.read(ann.subject, when=99.999), PurposePermission)
    assert shop.read(ann.subject, when=100) is Denial.EXPIRED


def test_expiry_is_recorded_once_with_a_purge(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give(until=at(100))
    assert services.expire_due(at(99)) == 0
    assert services.expire_due(at(107)) == 1
    assert services.expire_due(at(108)) == 0
    record = ConsentRecord.objects.first()
    assert record is not None
    assert (record.decision, record.at, record.since, record.actor) == ("expired", at(107), at(100), "system")
    assert shop.read(ann.subject) is Denial.REFUSED
    assert PermissionChange.objects.get(sequence=record.sequence).purge


def test_consent_renewed_before_its_end_does_not_expire(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give(until=at(100))
    shop.give(when=90, until=at(200))
    assert services.expire_due(at(150)) == 0
    assert isinstance(shop.read(ann.subject, when=150), PurposePermission)


def test_consent_after_an_unrecorded_end_records_the_end_first(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give(until=at(100))
    second = shop.give(when=150)
    decisions = [(record.decision, record.since) for record in ConsentRecord.objects.order_by("sequence")]
    assert decisions == [("given", at(1)), ("expired", at(100)), ("given", at(151))]
    grant = shop.read(ann.subject, when=200)
    assert grant == PurposePermission(True, second.sequence, ms(at(151)), 0)
    assert not second.repeated
    assert services.expire_due(at(300)) == 0


def test_many_grants_expire_in_batches(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "BATCH_SIZE", 40)
    register_many([Registration(f"c{n}", "eu", "acme") for n in range(100)], now=at())
    choices = [
        Choice(f"c{n}", "service", Decision.GIVEN, "web", "shop", "privacy/1/en", until=at(60)) for n in range(100)
    ]
    services.record_decisions(choices, at())
    assert services.expire_due(at(60)) == 100


def test_more_decisions_than_a_batch_are_refused(shop: Shop) -> None:
    with pytest.raises(ValueError, match="1001"):
        services.record_decisions([Choice("ann", "service", Decision.GIVEN, "web", "shop")] * 1001)
