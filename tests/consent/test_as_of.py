"""Permissions as of a past time equal what the read's guard would have decided then."""

import random
from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pytest

from featurestore.consent import services
from featurestore.consent.as_of import PurposeAsOf, Reason, permissions_as_of
from featurestore.consent.errors import ConsentError, UnknownCustomer, WrongDate
from featurestore.consent.models import ConsentRecord, CurrentPermission, PermissionState, Purpose
from featurestore.consent.outbox.publication import permissions_of
from featurestore.consent.services.erasure import erase_permissions
from featurestore.customers.models import Customer
from featurestore.permission import PurposePermission, current
from tests.kit.clock import at, ms
from tests.kit.shop import Shop

PURPOSES = ("service", "personalisation", "fraud", "delivery", "analytics")
HOUR = 3600


def as_of(when: float, purpose: str = "service", *, erased: bool = False) -> PurposeAsOf:
    (found,) = (
        one for one in permissions_as_of("ann", at(when), erased=erased, now=at(10**7)) if one.purpose.name == purpose
    )
    return found


def guard(subject: str, when: float) -> dict[str, bool]:
    """What the derived permission allows at a time, by purpose."""
    permission = permissions_of([subject]).get(subject)
    return {name: isinstance(current(permission, name, ms(at(when))), PurposePermission) for name in PURPOSES}


@pytest.mark.parametrize("seed", range(4))
def test_every_past_time_is_answered_as_the_guard_decided_then(shop: Shop, seed: int) -> None:
    choices, decided = random.Random(seed), dict[float, dict[str, bool]]()
    subject = shop.register().customer.subject
    for step in range(1, 26):
        when, purpose = step * HOUR, choices.choice(PURPOSES)
        why = {"method": "email", "actor": "petra", "reason": "asked"}
        operations = [
            lambda when=when, purpose=purpose: shop.give(
                purpose, when, until=choices.choice([None, at(when + 3 * HOUR)])
            ),
            lambda when=when, purpose=purpose: shop.withdraw(purpose, when),
            lambda when=when, purpose=purpose, why=why: services.pause("ann", purpose, now=at(when), **why),
            lambda when=when, purpose=purpose, why=why: services.lift("ann", purpose, now=at(when), **why),
            lambda when=when: services.expire_due(at(when)),
        ]
        if step == 20:
            services.retire_purpose(purpose, at(when))
        else:
            with suppress(ConsentError):  # refused: then nothing changed
                choices.choice(operations)()
        decided[when + HOUR / 2] = guard(subject, when + HOUR / 2)
    found = {when: {name: as_of(when, name).allowed for name in PURPOSES} for when in decided}
    assert found == decided
    newest = {row.purpose_id: row for row in PermissionState.objects.order_by("sequence")}
    for row in CurrentPermission.objects.all():
        state = newest[row.purpose_id]
        for field in ("sequence", "allowed", "paused", "grant_id", "since", "complete_from", "until", "ended_at"):
            assert getattr(state, field) == getattr(row, field), field


def test_a_decision_counts_from_its_recording_whatever_time_it_is_about(shop: Shop) -> None:
    shop.register(when=-HOUR)
    shop.give(when=0, since=at(-1800))
    assert as_of(-10).reason is Reason.NEVER_ALLOWED
    assert (as_of(10).allowed, as_of(10).since) == (True, at(-1800))


def test_basis_notice_and_record_are_those_of_the_time(shop: Shop) -> None:
    shop.register()
    given = shop.give(when=10)
    shop.withdraw(when=20)
    first, later = as_of(15), as_of(25)
    assert (first.allowed, first.purpose.lawful_basis, first.notice and first.notice.reference) == (
        True,
        "consent",
        "privacy/1/en",
    )
    assert first.record == given.record
    assert (first.recorded_at, first.until) == (at(10), None)
    assert first.in_effect_at is not None
    assert (later.reason, later.record and later.record.decision) == (Reason.WITHDRAWN, "withdrawn")
    assert later.notice == first.notice, "under which the customer last consented"


def test_purpose_that_needs_no_consent_is_allowed_without_a_record(shop: Shop) -> None:
    shop.register()
    found = as_of(5, "delivery")
    assert (found.allowed, found.record, found.notice) == (True, None, None)
    assert as_of(-5, "delivery").reason is Reason.NEVER_ALLOWED


def test_consent_that_had_ended_is_expired_before_the_end_is_recorded(shop: Shop) -> None:
    shop.register()
    shop.give(until=at(100))
    assert (as_of(99).reason, as_of(100).reason) == (None, Reason.EXPIRED)
    services.expire_due(at(200))
    assert as_of(300).reason is Reason.EXPIRED


def test_retired_purpose_is_denied_from_its_retirement(shop: Shop) -> None:
    shop.register()
    shop.give()
    services.retire_purpose("service", at(50))
    services.retire_purpose("service", at(80))
    assert Purpose.objects.get(name="service").retired_at == at(50)
    assert (as_of(49).reason, as_of(50).reason) == (None, Reason.RETIRED)


def test_erased_customer_is_answered_to_who_may_ask_and_denied_from_the_erasure(shop: Shop) -> None:
    customer = shop.register().customer
    shop.give()
    erase_permissions([customer.pk], at(100))
    with pytest.raises(UnknownCustomer):
        as_of(50)
    assert as_of(50, erased=True).allowed
    assert as_of(100, erased=True).reason is Reason.ERASED


def test_unknown_customer_and_a_time_to_come_are_refused(shop: Shop) -> None:
    for nobody in ("nobody", " ann"):
        with pytest.raises(UnknownCustomer):
            permissions_as_of(nobody, at(), now=at())
    shop.register()
    with pytest.raises(WrongDate, match="future"):
        permissions_as_of("ann", at() + timedelta(milliseconds=1), now=at())
    with pytest.raises(WrongDate, match="before 1970"):
        permissions_as_of("ann", datetime.min.replace(tzinfo=timezone(timedelta(hours=14))), now=at())
    assert ConsentRecord.objects.count() == 0
    assert Customer.objects.count() == 1
