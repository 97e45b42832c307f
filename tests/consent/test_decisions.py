"""Decisions: recorded, in effect, or refused."""

from datetime import datetime

import pytest
from django.db import transaction

from featurestore.consent import errors, services
from featurestore.consent.models import ChangeSequence, ConsentRecord, CurrentPermission, PermissionChange
from featurestore.consent.permission_derivation import Decision
from featurestore.consent.services import Choice
from featurestore.permission import Denial, PurposePermission
from tests.kit.clock import at, ms
from tests.kit.shop import Shop


def test_consent_is_in_effect_on_return(shop: Shop) -> None:
    ann = shop.register().customer
    decided = shop.give(when=10)
    assert decided.effective
    assert shop.read(ann.subject) == PurposePermission(True, decided.sequence, ms(at(11)), 0)


def test_withdrawal_is_in_effect_on_return_for_one_purpose_only(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give("service")
    shop.give("personalisation")
    assert shop.withdraw("service", when=5).effective
    assert shop.read(ann.subject, "service") is Denial.REFUSED
    assert isinstance(shop.read(ann.subject, "personalisation"), PurposePermission)


def test_record_holds_actor_time_method_and_notice(shop: Shop) -> None:
    shop.register()
    shop.give(when=3, method="phone", actor="agent 7", reason="asked on the phone", until=at(500))
    record = ConsentRecord.objects.get()
    assert (record.customer.customer_id, record.purpose.name, record.decision) == ("ann", "service", "given")
    assert (record.at, record.since, record.until) == (at(3), at(4), at(500))
    assert (record.method, record.actor, record.reason) == ("phone", "agent 7", "asked on the phone")
    assert record.notice is not None
    assert record.notice.reference == "privacy/1/en"


def test_objection_denies_until_it_is_taken_back(shop: Shop) -> None:
    ann = shop.register().customer
    first = shop.read(ann.subject, "analytics")
    shop.withdraw("analytics", when=5)
    assert shop.read(ann.subject, "analytics") is Denial.REFUSED
    shop.give("analytics", when=9, notice=None)
    second = shop.read(ann.subject, "analytics")
    assert isinstance(first, PurposePermission)
    assert isinstance(second, PurposePermission)
    assert second.grant_id > first.grant_id


@pytest.mark.parametrize(("purpose", "what"), [("delivery", "contract"), ("fraud", "legal obligation")])
def test_purpose_without_a_decision_is_not_withdrawn(shop: Shop, purpose: str, what: str) -> None:
    ann = shop.register().customer
    with pytest.raises(errors.WrongBasis, match=what):
        shop.withdraw(purpose)
    assert isinstance(shop.read(ann.subject, purpose), PurposePermission)
    assert not ConsentRecord.objects.exists()


def test_repeated_consent_is_recorded_and_keeps_the_grant(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give(when=0)
    before = shop.read(ann.subject)
    again = shop.give(when=60)
    assert again.repeated
    assert shop.read(ann.subject) == before
    assert ConsentRecord.objects.count() == 2


def test_second_withdrawal_is_recorded_without_a_purge(shop: Shop) -> None:
    shop.register()
    shop.give()
    first, second = shop.withdraw(when=5), shop.withdraw(when=6)
    assert (first.repeated, second.repeated) == (False, True)
    purging = PermissionChange.objects.filter(purge=True).values_list("sequence", flat=True)
    assert list(purging) == [first.sequence]


def test_consent_after_a_withdrawal_is_a_new_grant_with_a_purge(shop: Shop) -> None:
    ann = shop.register().customer
    first = shop.give(when=0)
    shop.withdraw(when=5)
    second = shop.give(when=5)
    grant = shop.read(ann.subject)
    assert isinstance(grant, PurposePermission)
    assert grant.grant_id == second.sequence > first.sequence
    assert grant.since_ms == ms(at(6))
    assert PermissionChange.objects.get(sequence=second.sequence).purge


def test_refusal_without_an_earlier_consent_is_recorded(shop: Shop) -> None:
    ann = shop.register().customer
    assert not shop.withdraw().repeated
    assert shop.read(ann.subject) is Denial.REFUSED
    assert not PermissionChange.objects.filter(purge=True).exists()


def test_consent_ends_after_the_purposes_validity(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give("personalisation", when=10)
    grant = shop.read(ann.subject, "personalisation", when=3600)
    assert isinstance(grant, PurposePermission)
    assert grant.until_ms == ms(at(10 + 30 * 86_400))
    assert shop.read(ann.subject, "personalisation", when=10 + 30 * 86_400) is Denial.EXPIRED


@pytest.mark.parametrize(("asked_days", "days"), [(10, 10), (30, 30), (31, 30), (36_500, 30)])
def test_requested_end_is_at_most_the_purposes_validity(shop: Shop, asked_days: int, days: int) -> None:
    ann = shop.register().customer
    decided = shop.give("personalisation", when=10, until=at(10 + asked_days * 86_400))
    grant = shop.read(ann.subject, "personalisation")
    assert isinstance(grant, PurposePermission)
    assert decided.record.until == at(10 + days * 86_400)
    assert grant.until_ms == ms(at(10 + days * 86_400))


def test_imported_decisions_keep_their_dates_in_order(shop: Shop) -> None:
    ann = shop.register(since=at(-9000)).customer
    shop.give(method="import", since=at(-8000))
    shop.withdraw(method="import", since=at(-5000))
    shop.give(method="import", since=at(-4000))
    grant = shop.read(ann.subject)
    assert isinstance(grant, PurposePermission)
    assert grant.since_ms == ms(at(-4000))
    with pytest.raises(errors.WrongDate, match="later consent"):
        shop.withdraw(method="import", since=at(-6000))


def test_imported_consent_does_not_undo_a_later_withdrawal(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give(when=0)
    shop.withdraw(when=10)
    with pytest.raises(errors.WrongDate, match="reach back"):
        shop.give(when=20, method="import", since=at(5))
    assert shop.read(ann.subject) is Denial.REFUSED


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"customer_id": "nobody"}, errors.UnknownCustomer, "Register"),
        ({"purpose": "advertising"}, errors.UnknownPurpose, "advertising"),
        ({"purpose": "fraud"}, errors.WrongBasis, "needs no consent"),
        ({"notice": None}, errors.WrongNotice, "needs the notice"),
        ({"notice": "privacy/9/en"}, errors.WrongNotice, "No such notice"),
        ({"notice": "cookies/1/en"}, errors.WrongNotice, "does not explain"),
        ({"method": "telepathy"}, errors.WrongMethod, "one of web, app"),
        ({"actor": ""}, errors.WrongActor, "State who"),
        ({"actor": "x" * 151}, errors.WrongActor, "State who"),
        ({"reason": "x" * 501}, errors.WrongText, "more than 500"),
        ({"reason": "a\0b"}, errors.WrongText, "null"),
        ({"purpose": "a\0b"}, errors.WrongText, "null"),
        ({"since": at(1)}, errors.WrongDate, "future"),
        ({"since": datetime(2026, 1, 1)}, errors.WrongDate, "time zone"),  # noqa: DTZ001
        ({"until": at(-1)}, errors.WrongDate, "end before"),
        ({"until": datetime.fromisoformat("9999-12-31T23:59:59-14:00")}, errors.WrongDate, "1970 and 9000"),
        ({"until": datetime.fromisoformat("1970-01-01T00:00:00Z")}, errors.WrongDate, "1970 and 9000"),
        ({"since": datetime.fromisoformat("1970-01-01T00:00:00Z")}, errors.WrongDate, "1970 and 9000"),
        ({"since": datetime.fromisoformat("0001-01-01T00:00:00+14:00")}, errors.WrongDate, "1970 and 9000"),
    ],
)
def test_invalid_decision_is_refused_and_not_recorded(
    shop: Shop, change: dict, error: type[Exception], message: str
) -> None:
    shop.register()
    services.publish_notice("cookies", 1, "en", "About cookies.", ["analytics"])
    before = ChangeSequence.objects.get().sequence
    with pytest.raises(error, match=message) as raised:
        shop.give(**change)
    assert "nobody" not in str(raised.value)
    assert not ConsentRecord.objects.exists()
    assert ChangeSequence.objects.get().sequence == before


def test_withdrawal_with_an_end_is_refused(shop: Shop) -> None:
    shop.register()
    with pytest.raises(errors.WrongDate, match="no end"):
        services.record_decisions([Choice("ann", "service", Decision.WITHDRAWN, "web", "shop", until=at(5))], at())


def test_decision_of_an_erased_customer_is_refused(shop: Shop) -> None:
    ann = shop.register().customer
    ann.erased_at = at()
    ann.save()
    with pytest.raises(errors.UnknownCustomer):
        shop.give()


def test_decisions_are_recorded_in_order_all_or_none(shop: Shop) -> None:
    for customer_id in ("ann", "bob"):
        shop.register(customer_id)
    given = Choice("ann", "service", Decision.GIVEN, "import", "backfill", "privacy/1/en", since=at(-60))
    choices = [given, given._replace(customer_id="bob"), given._replace(decision=Decision.WITHDRAWN, since=None)]
    decided = services.record_decisions(choices, at())
    assert [entry.effective for entry in decided] == [False, True, True]
    assert [entry.superseded for entry in decided] == [True, False, False]
    assert [entry.record.sequence for entry in decided] == sorted(entry.record.sequence for entry in decided)
    assert [row.allowed for row in CurrentPermission.objects.filter(purpose__name="service").order_by("customer")] == [
        False,
        True,
    ]
    with pytest.raises(errors.UnknownCustomer):
        services.record_decisions([given._replace(customer_id="bob"), given._replace(customer_id="nobody")], at())
    assert ConsentRecord.objects.count() == 3


def test_uncommitted_decision_is_not_published(shop: Shop) -> None:
    ann = shop.register().customer
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        shop.give()
    assert shop.read(ann.subject) is Denial.NO_RECORD


def test_withdrawal_is_recorded_and_pending_without_the_store(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give()
    shop.store.available = False
    decided = shop.withdraw(when=5)
    assert not decided.effective
    change = PermissionChange.objects.get(sequence=decided.sequence)
    assert change.published_at is None
    assert "unavailable" in change.last_error
    shop.store.available = True
    assert isinstance(shop.read(ann.subject), PurposePermission)  # so the store must not be vouched for yet


def test_withdrawal_is_pending_on_an_unvouched_run(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give()
    shop.store.restart()
    decided = shop.withdraw(when=5)
    assert not decided.effective
    assert "vouch" in PermissionChange.objects.get(sequence=decided.sequence).last_error
    stored = shop.stored(ann.subject)
    assert stored is not None
    assert not stored.purposes["service"].allowed  # stored, but not in effect before the run is vouched for


def test_decision_is_not_effective_in_a_store_ahead_of_the_database(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give()
    stored = shop.stored(ann.subject)
    assert stored is not None
    ahead = type(stored)(stored.epoch, stored.sequence + 1000, stored.purposes)
    shop.store.publish_permissions({ann.subject: ahead})
    assert not shop.withdraw(when=5).effective


def test_time_of_changes_never_goes_back(shop: Shop) -> None:
    ann = shop.register(when=0).customer
    shop.give(when=0)
    shop.withdraw(when=100)
    second = shop.give(when=50)  # a clock that was set back
    grant = shop.read(ann.subject)
    assert second.record.at == at(100)
    assert isinstance(grant, PurposePermission)
    assert grant.since_ms == ms(at(101))


def test_database_clock_is_the_default(shop: Shop) -> None:
    shop.register()
    decided = services.give("ann", "service", notice="privacy/1/en", method="web", actor="shop")
    assert abs((decided.record.at - datetime.now(decided.record.at.tzinfo)).total_seconds()) < 5
    assert decided.record.at.microsecond % 1000 == 0
