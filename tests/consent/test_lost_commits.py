"""A database that lost commits: an acknowledged withdrawal stays in effect, and only an operator opens the latch."""

from pathlib import Path

import pytest

from featurestore.audit.consent_audit import run_audit
from featurestore.consent import services
from featurestore.consent.models import ChangeSequence, PermissionChange
from featurestore.consent.outbox.relay import relay_due
from featurestore.consent.vouching.node_verifier import VerifierState
from featurestore.permission import Denial, Permission, PurposePermission
from featurestore.store.memory import MemoryStore
from tests.kit.backups import back_up, restore
from tests.kit.clock import at
from tests.kit.shop import Shop
from tests.kit.verifier import VerifierDriver, verifier_of

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def ann(shop: Shop, driver: VerifierDriver) -> str:
    """Subject of a customer who consented, in a store that is vouched for."""
    subject = shop.register().customer.subject
    shop.give()
    driver.until_vouching()
    driver.steps(2)
    return subject


@pytest.fixture
def backup(ann: str, tmp_path: Path) -> Path:
    """Backup of the database, as a standby has it that lacks every later commit."""
    back_up(tmp_path / "backup.sqlite3")
    return tmp_path / "backup.sqlite3"


def withdraw(shop: Shop, subject: str, when: float = 5) -> None:
    assert shop.withdraw(when=when).effective
    assert shop.read(subject) is Denial.REFUSED


def test_promoted_standby_that_lacks_a_withdrawal_is_latched(
    shop: Shop, driver: VerifierDriver, ann: str, backup: Path
) -> None:
    withdraw(shop, ann)
    restore(backup)
    assert driver.steps(3) == [VerifierState.LATCHED] * 3
    assert shop.read(ann) is Denial.UNVOUCHED
    audit = run_audit(at(100))
    assert audit
    assert "vouch" in audit.error
    assert "the store holds change" in ChangeSequence.objects.get().latch_reason
    assert driver.steps(3) == [VerifierState.LATCHED] * 3
    stored = shop.stored(ann)
    assert stored
    assert not stored.purposes["service"].allowed


def test_latch_stays_when_as_many_decisions_are_made_as_were_lost(
    shop: Shop, driver: VerifierDriver, ann: str, backup: Path
) -> None:
    withdraw(shop, ann)
    shop.register("x1", when=6)
    shop.register("x2", when=7)
    driver.steps(3)
    restore(backup)
    assert driver.steps() == [VerifierState.LATCHED]
    for n in range(6):
        assert not shop.register(f"new{n}", when=50 + n).effective
    assert driver.steps(3) == [VerifierState.LATCHED] * 3
    driver.verifier.lease.release()
    restarted = VerifierDriver(verifier_of(shop.store, driver.clock), driver.clock)
    assert restarted.steps(9) == [VerifierState.LATCHED] * 9
    relay_due(at(90))
    run_audit(at(100))
    assert shop.read(ann) is Denial.UNVOUCHED
    assert not PermissionChange.objects.filter(created_at__gte=at(50)).exclude(published_at=None).exists()


@pytest.mark.parametrize("customer", ["ann", "bob"])
def test_lost_number_given_to_another_change_is_noticed_before_it_is_published(
    shop: Shop, driver: VerifierDriver, ann: str, backup: Path, customer: str
) -> None:
    """Before the verifier's next step, and with as many decisions as were lost, so that the numbers are equal."""
    withdraw(shop, ann)
    restore(backup)
    decided = shop.register("bob", when=6) if customer == "bob" else shop.give("personalisation", when=6)
    assert not decided.effective
    assert shop.read(ann) is Denial.UNVOUCHED
    stored = shop.stored(ann)
    assert stored
    assert not stored.purposes["service"].allowed, "the lost withdrawal stays in the store"
    assert driver.steps(3) == [VerifierState.LATCHED] * 3


def test_lost_number_given_to_many_changes_is_noticed_by_the_verifier(
    shop: Shop, driver: VerifierDriver, ann: str, backup: Path
) -> None:
    withdraw(shop, ann)
    restore(backup)
    shop.store.available = False
    for n in range(5):
        shop.register(f"new{n}", when=50 + n)
    shop.store.available = True
    driver.clock.pass_s(3)
    assert driver.steps(2) == [VerifierState.LATCHED] * 2
    assert shop.read(ann) is Denial.UNVOUCHED


def test_commit_lost_while_it_is_published_is_not_acknowledged(
    shop: Shop, driver: VerifierDriver, ann: str, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = shop.store.publish_permissions

    def publish(*sent):
        answer = original(*sent)
        restore(backup)
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(shop.store, "publish_permissions", publish)
        assert not shop.withdraw(when=5).effective
    assert shop.read(ann) is Denial.UNVOUCHED
    assert driver.steps() == [VerifierState.LATCHED]


def test_change_published_meanwhile_by_a_process_with_the_lost_database_is_noticed(
    shop: Shop, driver: VerifierDriver, ann: str, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lost withdrawal reaches the store between the check and the publication of another change."""
    shop.withdraw(when=5)
    lost, highest = shop.stored(ann), shop.store._highest
    assert lost
    restore(backup)
    shop.store._highest = None
    original = shop.store.publish_permissions

    def publish(*sent):
        shop.store._highest = highest
        shop.store._permissions[ann] = lost
        return original(*sent)

    shop.register("bob", when=6)
    with monkeypatch.context() as patch:
        patch.setattr(shop.store, "publish_permissions", publish)
        assert not shop.register("carl", when=7).effective
    assert shop.read(ann) is Denial.UNVOUCHED
    assert driver.steps() == [VerifierState.LATCHED]


def test_latch_survives_an_emptied_store_and_another_restore(
    shop: Shop, driver: VerifierDriver, ann: str, backup: Path
) -> None:
    withdraw(shop, ann)
    restore(backup)
    driver.steps()
    restore(backup)
    assert ChangeSequence.objects.get().latched_at is None
    for n in range(5):
        assert not shop.register(f"new{n}", when=50 + n).effective
    assert driver.steps(2) == [VerifierState.LATCHED] * 2
    shop.store.restart(emptied=True)
    driver.clock.pass_s(5)
    assert driver.steps(2) == [VerifierState.LATCHED] * 2
    assert shop.read(ann) is Denial.UNVOUCHED


def test_operator_opens_the_latch_and_no_grant_id_is_issued_twice(
    shop: Shop, driver: VerifierDriver, ann: str, backup: Path
) -> None:
    given = shop.give("personalisation", when=4).sequence
    withdraw(shop, ann)
    restore(backup)
    assert driver.steps() == [VerifierState.LATCHED]
    services.raise_epoch(at(10))
    assert ChangeSequence.objects.get().latched_at is None
    shop.withdraw(when=11)
    assert driver.steps(3) == [VerifierState.VOUCHING] * 3
    assert shop.read(ann) is Denial.REFUSED
    again = shop.give("personalisation", when=20)
    assert again.effective
    stored = shop.stored(ann)
    assert stored
    assert stored.purposes["personalisation"].grant_id > given


def test_finding_about_the_database_before_an_operator_raised_the_epoch_latches_nothing(
    shop: Shop, driver: VerifierDriver, ann: str
) -> None:
    before = ChangeSequence.objects.get()
    services.raise_epoch(at(10))
    driver.verifier._latch("found late", before, shop.store.vouching_record())
    assert ChangeSequence.objects.get().latched_at is None
    driver.clock.pass_s(2)
    assert driver.steps() == [VerifierState.VOUCHING]


def test_later_permission_in_the_store_latches_and_its_change_stays_unpublished(
    shop: Shop, driver: VerifierDriver, ann: str
) -> None:
    shop.store.available = False
    change = shop.give("personalisation", when=5).sequence
    shop.store.available = True
    shop.store._permissions[ann] = Permission(1, change + 1, {"service": PurposePermission(False, 1, 1)})
    assert driver.steps(2) == [VerifierState.LATCHED] * 2
    assert PermissionChange.objects.get(sequence=change).published_at is None
    stored = shop.stored(ann)
    assert stored
    assert not stored.purposes["service"].allowed


def test_store_published_to_a_new_run_latches_on_a_later_permission(
    shop: Shop, driver: VerifierDriver, ann: str
) -> None:
    ours = shop.stored(ann)
    assert ours
    shop.store.restart()
    shop.store._permissions[ann] = Permission(ours.epoch, ours.sequence + 1, {})
    shop.store._highest = shop.store._claim = None
    driver.clock.pass_s(3)
    assert driver.steps() == [VerifierState.LATCHED]
    assert shop.stored(ann) == Permission(ours.epoch, ours.sequence + 1, {})


def test_verifier_lease_that_the_database_lost_is_latched(shop: Shop, driver: VerifierDriver, tmp_path: Path) -> None:
    driver.until_vouching()
    back_up(tmp_path / "backup.sqlite3")
    driver.verifier.lease.release()
    second = VerifierDriver(verifier_of(shop.store, driver.clock), driver.clock)
    assert second.steps() == [VerifierState.VOUCHING]
    restore(tmp_path / "backup.sqlite3")
    assert second.steps(2) == [VerifierState.LATCHED] * 2


def test_node_that_could_not_be_latched_is_latched_by_its_verifier(
    shop: Shop, driver: VerifierDriver, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = MemoryStore(driver.clock)
    driver.verifier._latch("found elsewhere", ChangeSequence.objects.get(), other.vouching_record())
    shop.store._latched_epoch = 0
    assert driver.steps() == [VerifierState.LATCHED]
    assert shop.store.vouching_record().latched_epoch == 1
