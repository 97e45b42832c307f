"""Pauses: a purpose is withheld, its grant kept, and counted on from the lifting."""

import pytest

from featurestore.consent import errors, services
from featurestore.consent.models import ConsentRecord, CurrentPermission, KeptDenial
from featurestore.consent.outbox.relay import relay_due
from featurestore.permission import Denial, PurposePermission
from tests.kit.clock import at, ms
from tests.kit.shop import Shop

WHY = {"method": "email", "actor": "petra", "reason": "accuracy contested"}


def pause(purpose: str | None = None, when: float = 10, customer_id: str = "ann") -> list[services.RecordedDecision]:
    return services.pause(customer_id, purpose, now=at(when), **WHY)


def lift(purpose: str | None = None, when: float = 60, customer_id: str = "ann") -> list[services.RecordedDecision]:
    return services.lift(customer_id, purpose, now=at(when), **WHY)


def stored(shop: Shop, subject: str, purpose: str = "service") -> PurposePermission:
    permission = shop.stored(subject)
    assert permission is not None
    return permission.purposes[purpose]


def test_pause_is_in_effect_on_return_and_keeps_the_grant(shop: Shop) -> None:
    ann = shop.register().customer
    given = shop.give()
    assert [one.effective for one in pause("service")] == [True]
    assert shop.read(ann.subject) is Denial.PAUSED
    assert stored(shop, ann.subject) == PurposePermission(False, given.sequence, ms(at(1)), paused=True)


def test_lifted_grant_starts_with_the_lifting(shop: Shop) -> None:
    ann = shop.register().customer
    given = shop.give()
    pause("service")
    (lifted,) = lift("service")
    assert (lifted.effective, lifted.since) == (True, at(61))
    assert shop.read(ann.subject) == PurposePermission(True, given.sequence, ms(at(61)))


def test_pause_and_lifting_are_records_with_reason_and_actor(shop: Shop) -> None:
    shop.register()
    shop.give()
    pause("service")
    lift("service")
    lifted, paused, _ = ConsentRecord.objects.all()
    assert [(one.decision, one.at) for one in (paused, lifted)] == [("paused", at(10)), ("lifted", at(60))]
    assert {(one.method, one.actor, one.reason) for one in (paused, lifted)} == {tuple(WHY.values())}


def test_all_purposes_are_paused_on_every_basis(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give()
    pause()
    purposes = ("service", "personalisation", "fraud", "delivery", "analytics")
    assert {shop.read(ann.subject, purpose) for purpose in purposes} <= {Denial.PAUSED, Denial.REFUSED}
    assert CurrentPermission.objects.filter(paused=False).count() == 0
    lift()
    assert isinstance(shop.read(ann.subject, "fraud"), PurposePermission)
    assert isinstance(shop.read(ann.subject, "service"), PurposePermission)


def test_one_purpose_is_lifted_alone(shop: Shop) -> None:
    ann = shop.register().customer
    pause()
    lift("fraud")
    assert isinstance(shop.read(ann.subject, "fraud"), PurposePermission)
    assert shop.read(ann.subject, "delivery") is Denial.PAUSED


def test_consent_while_paused_counts_from_the_lifting(shop: Shop) -> None:
    ann = shop.register().customer
    pause()
    given = shop.give(when=20)
    assert shop.read(ann.subject) is Denial.PAUSED
    lift()
    assert shop.read(ann.subject) == PurposePermission(True, given.sequence, ms(at(61)))


def test_withdrawal_while_paused_is_purged_at_once(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give()
    pause("service")
    withdrawn = shop.withdraw(when=20)
    assert shop.read(ann.subject) is Denial.REFUSED
    relay_due(at(21))
    assert shop.sent.sent[-1].sequence == withdrawn.sequence
    lift("service")
    assert shop.read(ann.subject) is Denial.REFUSED


def test_grant_that_expires_while_paused_ends_at_the_lifting(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give(until=at(30))
    pause("service")
    assert services.expire_due(at(40)) == 0
    assert stored(shop, ann.subject).paused
    lift("service")
    assert shop.read(ann.subject) is Denial.REFUSED
    ended, lifted = ConsentRecord.objects.all()[:2]
    assert (lifted.decision, ended.decision, ended.since) == ("lifted", "expired", at(30))
    assert ended.reason == "the grant expired while it was paused"


def test_grant_of_a_retired_purpose_is_kept_until_the_lifting(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give()
    pause("service")
    assert services.retire_purpose("service", at(20)).effective
    assert stored(shop, ann.subject).paused
    lift("service")
    assert shop.read(ann.subject) is Denial.REFUSED
    assert ConsentRecord.objects.all()[0].reason == "the purpose was retired"


def test_new_purpose_of_a_customer_paused_altogether_begins_paused(shop: Shop) -> None:
    ann, bob = shop.register().customer, shop.register("bob").customer
    pause()
    services.define_purpose("safety", title="Safety", lawful_basis="legal_obligation")
    services.backfill_purposes(at(20))
    assert shop.read(ann.subject, "safety") is Denial.PAUSED
    assert isinstance(shop.read(bob.subject, "safety"), PurposePermission)


def test_lifting_sends_a_purge_by_which_values_are_pushed_again(shop: Shop) -> None:
    shop.register()
    shop.give()
    pause("service")
    relay_due(at(11))
    assert shop.sent.sent == []
    (lifted,) = lift("service")
    relay_due(at(61))
    assert [purge.sequence for purge in shop.sent.sent] == [lifted.sequence]


def test_repeated_pause_is_recorded_and_changes_nothing(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give()
    pause("service")
    before = stored(shop, ann.subject)
    assert [one.repeated for one in pause("service", when=20)] == [True]
    assert stored(shop, ann.subject) == before


def test_pause_without_a_reason_is_refused(shop: Shop) -> None:
    shop.register()
    with pytest.raises(errors.WrongText, match="State why"):
        services.pause("ann", method="email", actor="petra", reason=" ", now=at())


def test_lifting_of_what_is_not_paused_is_refused(shop: Shop) -> None:
    shop.register()
    with pytest.raises(errors.NotPaused):
        lift()
    with pytest.raises(errors.NotPaused):
        lift("fraud")
    with pytest.raises(errors.UnknownCustomer):
        pause(customer_id="nobody")


def test_pause_that_the_store_misses_is_published_by_the_relay(shop: Shop) -> None:
    ann = shop.register().customer
    shop.give()
    shop.store.available = False
    assert [one.effective for one in pause("service")] == [False]
    shop.store.available = True
    relay_due(at(12))
    assert shop.read(ann.subject) is Denial.PAUSED


def test_new_purpose_begins_paused_whatever_was_retired_before(shop: Shop) -> None:
    services.define_purpose("old", title="Old", lawful_basis="legitimate_interest")
    ann = shop.register().customer
    services.retire_purpose("old", at(5))
    pause()
    services.define_purpose("scoring", title="Scoring", lawful_basis="legitimate_interest")
    services.backfill_purposes(at(20))
    assert shop.read(ann.subject, "scoring") is Denial.PAUSED


def test_first_consent_of_a_customer_paused_altogether_stays_paused(shop: Shop) -> None:
    ann = shop.register().customer
    pause()
    for name in ("scoring", "letters"):
        services.define_purpose(name, title=name, lawful_basis="consent")
    services.publish_notice("new", 1, "en", "Text", ["scoring", "letters"], at(15))
    shop.withdraw("letters", when=20)
    assert shop.give("scoring", when=30, notice="new/1/en").paused
    assert shop.read(ann.subject, "scoring") is Denial.PAUSED
    lift(when=40)
    assert isinstance(shop.read(ann.subject, "scoring"), PurposePermission)


def test_kept_denial_of_a_new_purpose_leaves_a_customer_paused_altogether(shop: Shop) -> None:
    ann = shop.register().customer
    pause()
    evidence = {"decision": "withdrawn", "decided_at": at(1), "recorded_at": at(1), "since": at(1), "method": "web"}
    KeptDenial.objects.create(subject=ann.subject, purpose="old", state="refused", actor="ann", **evidence)
    for name in ("old", "new"):
        services.define_purpose(name, title=name, lawful_basis="legitimate_interest")
    services.backfill_purposes(at(20))
    assert shop.read(ann.subject, "old") is Denial.REFUSED
    assert shop.read(ann.subject, "new") is Denial.PAUSED
