"""Take-over of what the store alone knows: the journal was asynchronous, or away, and the numbers are issued again."""

from pathlib import Path

import pytest

from featurestore.consent import services
from featurestore.consent.change_sequence import lock_change_sequence
from featurestore.consent.journal.appender import append_due
from featurestore.consent.journal.losses import find_losses
from featurestore.consent.journal.takeover import TakeOver, take_over
from featurestore.consent.models import CurrentPermission, PermissionChange
from featurestore.consent.outbox.publication import permissions_of, publish
from featurestore.permission import PurposePermission
from tests.kit.backups import back_up, restore
from tests.kit.clock import at
from tests.kit.journal import MemoryJournal
from tests.kit.shop import Shop

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def backup(shop: Shop, journal: MemoryJournal, tmp_path: Path) -> Path:
    """A backup with Ann, who consented to the service, and for a short time to personalisation."""
    shop.register()
    shop.give(when=1)
    shop.give("personalisation", when=2, until=at(65))
    append_due(journal)
    back_up(tmp_path / "backup")
    return tmp_path / "backup"


def decide(shop: Shop, journal: MemoryJournal | None, when: float = 1000) -> TakeOver:
    return take_over(find_losses(journal, shop.store), journal, "petra", now=at(when))


def permission(subject: str, purpose: str = "service") -> PurposePermission:
    return permissions_of([subject])[subject].purposes[purpose]


def subject_of_ann() -> str:
    return PermissionChange.objects.order_by("sequence")[0].subject


@pytest.mark.parametrize("denial", ["withdrawn", "paused"])
@pytest.mark.parametrize("later", ["nothing", "another consent", "two more", "an expiry"])
def test_denial_of_the_store_survives_later_versions(
    shop: Shop, journal: MemoryJournal, backup: Path, denial: str, later: str
) -> None:
    ann = subject_of_ann()
    if denial == "withdrawn":
        assert shop.withdraw(when=60).effective
    else:
        why = {"method": "email", "actor": "petra", "reason": "disputed"}
        assert services.pause("ann", "service", now=at(60), **why)[0].effective
    restore(backup)
    if later == "an expiry":
        services.expire_due(at(75))
    for n in range({"another consent": 1, "two more": 2}.get(later, 0)):
        assert not shop.give("personalisation", when=70 + n).effective
    plan = decide(shop, journal)
    assert [(found.purpose, found.paused) for _, _, found in plan.denials] == [("service", denial == "paused")]
    assert not permission(ann).allowed


def test_objection_of_the_store_survives_another_registration(shop: Shop, journal: MemoryJournal, backup: Path) -> None:
    bob = shop.register("bob", when=50).customer.subject
    assert shop.withdraw("analytics", customer_id="bob", when=60).effective
    restore(backup)
    shop.register("bob", when=70)
    shop.give(customer_id="bob", when=71)
    decide(shop, journal)
    assert not permission(bob, "analytics").allowed


def test_grant_given_after_the_restore_under_a_lost_id_is_not_that_grant(
    shop: Shop, journal: MemoryJournal, backup: Path
) -> None:
    """The store has values under the lost grant: neither the same purpose nor another gets them back."""
    bob = shop.register("bob", when=50).customer.subject
    lost = shop.give(customer_id="bob", when=51).sequence
    shop.give("personalisation", customer_id="bob", when=52)
    restore(backup)
    shop.register("bob", when=70)
    assert shop.give(customer_id="bob", when=71).sequence == lost
    plan = decide(shop, journal)
    assert ("bob", "service") in {(row.customer.customer_id, row.purpose.name) for row in plan.renewed}
    assert permission(bob).grant_id > lost
    assert permission(bob).since_ms >= at(1000).timestamp() * 1000


def test_change_that_left_the_outbox_is_not_lost(shop: Shop, journal: MemoryJournal, backup: Path) -> None:
    PermissionChange.objects.filter(sequence=3).delete()
    losses = find_losses(None, shop.store)
    assert (losses.records, losses.unknown) == ({}, set())


def test_permission_without_a_token_is_compared_by_its_number(shop: Shop, journal: MemoryJournal, backup: Path) -> None:
    ann = subject_of_ann()
    shop.withdraw(when=60)
    without = shop.stored(ann)
    assert without
    shop.store._permissions[ann] = type(without)(*without.fence, without.purposes)  # of an earlier version
    restore(backup)
    assert len(decide(shop, journal).denials) == 1


def test_erasure_that_the_store_alone_knows_refuses_what_it_ended(
    shop: Shop, journal: MemoryJournal, backup: Path
) -> None:
    ann = subject_of_ann()
    CurrentPermission.objects.all().delete()
    services.record_erasure(lock_change_sequence(at(60)), [ann])
    publish([ann])
    restore(backup)
    given = shop.give("personalisation", when=70).sequence
    decide(shop, journal)
    allowed = {name: one for name, one in permissions_of([ann])[ann].purposes.items() if one.allowed}
    assert allowed.keys() == {"personalisation"}, "given after the erasure and the restore"
    assert allowed["personalisation"].grant_id > given
