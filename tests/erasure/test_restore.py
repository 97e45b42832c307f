"""A database that was restored from before an erasure takes it over from the journal, and erases again."""

from pathlib import Path

import pytest

from featurestore.consent.journal.losses import find_losses
from featurestore.consent.journal.takeover import plan_take_over, take_over
from featurestore.consent.outbox.publication import permissions_of
from featurestore.customers.models import Customer, Suppression
from featurestore.profiles.errors import ErasedCustomer
from featurestore.requests.erasure.models import Erasure
from tests.kit.backups import back_up, restore
from tests.kit.clock import at
from tests.kit.erasures import ErasureEnvironment

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def take_over_losses(erasures: ErasureEnvironment, when: float) -> None:
    take_over(find_losses(erasures.journal, erasures.shop.store), erasures.journal, "petra", now=at(when))


def test_erasure_is_taken_over_and_carried_out_again(erasures: ErasureEnvironment, tmp_path: Path) -> None:
    Customer.objects.update(created_at=at())
    subject = Customer.objects.get(customer_id="ann").subject
    back_up(tmp_path / "backup")
    erasures.start()
    erasures.walk_to_answer()
    restore(tmp_path / "backup")
    assert permissions_of([subject])[subject].purposes["service"].allowed
    take_over_losses(erasures, 1000)
    assert not any(one.allowed for one in permissions_of([subject])[subject].purposes.values())
    assert Suppression.objects.get().erased_at == at(30)
    assert Erasure.objects.count() == 0
    for when in (1010, 1020, 1030):
        erasures.walk(when)
    erasure = Erasure.objects.get()
    assert (erasure.cause, erasure.state, erasures.left()) == ("restore", "closed", 0)
    assert erasures.walk(2000) == 0
    with pytest.raises(ErasedCustomer):
        erasures.shop.register("ann", 2000)


def test_suppression_of_a_customer_who_is_not_in_the_backup_is_taken_over(
    erasures: ErasureEnvironment, tmp_path: Path
) -> None:
    back_up(tmp_path / "backup")
    erasures.shop.register("carl", 5)
    erasures.start("carl", 20)
    erasures.walk_to_answer()
    restore(tmp_path / "backup")
    take_over_losses(erasures, 1000)
    with pytest.raises(ErasedCustomer):
        erasures.shop.register("carl", 2000)
    assert erasures.walk(2010) == 0


def test_erasure_that_the_backup_holds_is_continued(erasures: ErasureEnvironment, tmp_path: Path) -> None:
    erasure = erasures.start()
    erasures.walk(30)
    back_up(tmp_path / "backup")
    erasures.walk(40)
    restore(tmp_path / "backup")
    assert not plan_take_over(find_losses(erasures.journal, erasures.shop.store)).erased
    erasures.walk(50)
    erasure.refresh_from_db()
    assert (erasure.state, erasures.left()) == ("closed", 0)
    assert Erasure.objects.count() == 1
