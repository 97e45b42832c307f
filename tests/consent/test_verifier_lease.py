"""Verifier lease: of several store verifiers one vouches, and no two runs are readable at the same time."""

from collections.abc import Sequence

import pytest
from django.db import OperationalError

from featurestore.consent.models import VerifierLease
from featurestore.consent.vouching import node_verifier
from featurestore.consent.vouching.lease import DATABASE_GRACE_S
from featurestore.consent.vouching.node_verifier import VerifierState
from featurestore.permission import Denial, PurposePermission
from featurestore.store import configured
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import StoreUnavailable, new_incarnation
from tests.kit.clock import Clock
from tests.kit.shop import Shop
from tests.kit.verifier import VerifierDriver, verifier_of

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
VOUCHING, STANDBY = VerifierState.VOUCHING, VerifierState.STANDBY


@pytest.fixture
def ann(shop: Shop, driver: VerifierDriver) -> str:
    """Subject of a customer who consented, in a store that the first verifier vouches for."""
    subject = shop.register().customer.subject
    shop.give()
    driver.until_vouching()
    driver.steps(2)
    return subject


@pytest.fixture
def second(shop: Shop, driver: VerifierDriver) -> VerifierDriver:
    """Driver of a second verifier of the same store, in another process."""
    return VerifierDriver(verifier_of(shop.store, driver.clock), driver.clock)


def promote(store: MemoryStore, clock: Clock) -> MemoryStore:
    """A replica of the store that has just been promoted; the store lives on as it is."""
    promoted = MemoryStore(clock)
    promoted._runs = store._runs + 7
    promoted._permissions, promoted._claim = dict(store._permissions), store._claim
    promoted._highest = store._highest
    return promoted


def read(shop: Shop, store: MemoryStore, subject: str) -> PurposePermission | Denial:
    return Shop(store, shop.sent).read(subject)


def without_database(verifier: VerifierDriver, monkeypatch: pytest.MonkeyPatch) -> list[VerifierState]:
    """One step of a verifier that does not reach the database."""

    def away() -> None:
        raise OperationalError("no route to host")

    with monkeypatch.context() as patch:
        patch.setattr(node_verifier, "load_change_sequence", away)
        patch.setattr(verifier.verifier.lease, "hold", away)
        return [verifier.verifier.step()]


def test_second_verifier_stands_by_while_the_first_vouches(
    shop: Shop, driver: VerifierDriver, ann: str, second: VerifierDriver
) -> None:
    for _ in range(20):
        assert (driver.verifier.step(), second.verifier.step()) == (VOUCHING, STANDBY)
        assert isinstance(shop.read(ann), PurposePermission)
        driver.clock.pass_s(0.5)


def test_rolling_update_leaves_no_gap(shop: Shop, driver: VerifierDriver, ann: str, second: VerifierDriver) -> None:
    incarnation = shop.store.read([], [], [], 100).nodes[0].incarnation
    for turn in range(6):
        leaving, coming = (driver, second) if turn % 2 == 0 else (second, driver)
        assert coming.verifier.step() is STANDBY
        leaving.verifier.lease.release()
        driver.clock.pass_s(0.5)
        assert coming.steps(3) == [VOUCHING] * 3
        assert isinstance(shop.read(ann), PurposePermission)
    assert shop.store.read([], [], [], 100).nodes[0].incarnation == incarnation, "no value is pushed again"
    assert VerifierLease.objects.get().number == 7


def test_successor_of_a_killed_verifier_waits_until_its_vouch_key_has_expired(
    shop: Shop, driver: VerifierDriver, ann: str, second: VerifierDriver
) -> None:
    assert driver.verifier.step() is VOUCHING  # the last one
    for _ in range(4):
        assert second.verifier.step() is STANDBY
        assert shop.store.vouching_record().vouched_under == driver.verifier.lease.fence(1)
        driver.clock.pass_s(0.5)
    assert shop.read(ann) is Denial.UNVOUCHED
    driver.clock.pass_s(0.5)
    assert second.verifier.step() is VOUCHING
    assert isinstance(shop.read(ann), PurposePermission)


def test_deposed_verifier_vouches_no_more(
    shop: Shop, driver: VerifierDriver, ann: str, second: VerifierDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one was stopped for long: within a step, and between two."""
    claim = shop.store.vouching_record().claim
    assert claim
    driver.clock.pass_s(3)
    assert second.steps(2) == [VOUCHING] * 2
    assert not shop.store.vouch(claim, shop.store.now_ms() + 2_000)
    assert not driver.verifier._vouch(claim)
    assert without_database(driver, monkeypatch) == [VerifierState.DATABASE_LOST]
    assert driver.steps(2) == [STANDBY] * 2
    assert second.steps() == [VOUCHING]


def test_verifier_without_the_database_is_not_deposed_while_it_vouches(
    shop: Shop, driver: VerifierDriver, ann: str, second: VerifierDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(int(DATABASE_GRACE_S * 2)):
        assert without_database(driver, monkeypatch) == [VerifierState.DATABASE_UNAVAILABLE]
        assert second.verifier.step() is STANDBY
        driver.clock.pass_s(0.5)
    assert driver.steps(2) == [VOUCHING] * 2


def partitioned(
    shop: Shop, driver: VerifierDriver, monkeypatch: pytest.MonkeyPatch
) -> tuple[MemoryStore, VerifierDriver]:
    """The store's replica is promoted, and every process but the first verifier and one reader follows it."""
    promoted = promote(shop.store, driver.clock)
    monkeypatch.setattr(configured, "store", lambda: promoted)
    return promoted, VerifierDriver(verifier_of(promoted, driver.clock), driver.clock)


def test_no_withdrawal_is_acknowledged_while_an_old_primary_is_vouched_for(
    shop: Shop, driver: VerifierDriver, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first verifier reaches the database and the old primary, the second one the new primary."""
    promoted, second = partitioned(shop, driver, monkeypatch)
    for n in range(80):
        assert driver.verifier.step() is VOUCHING
        assert second.verifier.step() is STANDBY
        if n == 20:
            assert not shop.withdraw(when=5).effective
        elif n > 20:
            assert read(shop, shop.store, ann) is Denial.REFUSED
        driver.clock.pass_s(0.5)
    assert read(shop, promoted, ann) is Denial.UNVOUCHED


@pytest.mark.parametrize("withdrawn_after_steps", [0, 3, 10, 40, 62, 66])
def test_old_primary_behind_a_partition_is_unreadable_once_a_withdrawal_is_acknowledged(
    shop: Shop, driver: VerifierDriver, ann: str, monkeypatch: pytest.MonkeyPatch, withdrawn_after_steps: int
) -> None:
    """The first verifier and a reader reach only the old primary, and not the database."""
    promoted, second = partitioned(shop, driver, monkeypatch)
    acknowledged = False
    for n in range(90):
        without_database(driver, monkeypatch)
        second.verifier.step()
        if n == withdrawn_after_steps:
            acknowledged = shop.withdraw(when=5).effective
        vouched = [store for store in (shop.store, promoted) if store.read([], [], [], 100).vouched]
        assert len(vouched) <= 1, "no reader trusts one run while another reader trusts another"
        if acknowledged or promoted in vouched:
            assert read(shop, shop.store, ann) is Denial.UNVOUCHED
        driver.clock.pass_s(0.5)
    assert second.verifier.state is VOUCHING
    assert read(shop, promoted, ann) is Denial.REFUSED


def test_successor_waits_for_an_earlier_holder_even_after_an_orderly_one(
    shop: Shop, driver: VerifierDriver, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one takes over and ends in order, and has not fenced the run that the first may still vouch for."""
    began_s = driver.clock()
    assert driver.verifier.step() is VOUCHING
    driver.clock.pass_s(3)
    second = VerifierDriver(verifier_of(shop.store, driver.clock), driver.clock)
    assert second.verifier.lease.hold(), "it reaches the run, but writes no claim yet"
    second.verifier.lease.release()
    _, third = partitioned(shop, driver, monkeypatch)
    third.until(VOUCHING, within_s=60)
    assert driver.clock() - began_s >= DATABASE_GRACE_S
    assert driver.verifier.lease.vouch_limit() <= driver.clock()


def test_vouch_delayed_within_a_step_ends_with_the_lease(shop: Shop, driver: VerifierDriver, ann: str) -> None:
    """A process that was stopped before its vouch, behind a partition: a successor has stopped waiting for it."""
    claim = shop.store.vouching_record().claim
    assert claim
    driver.clock.pass_s(DATABASE_GRACE_S + 1.0)
    assert driver.verifier._vouch(claim)
    assert isinstance(shop.read(ann), PurposePermission)
    driver.clock.pass_s(0.5)
    assert shop.read(ann) is Denial.UNVOUCHED, "two seconds after the grace at the latest"
    assert not driver.verifier._vouch(claim)


def test_run_of_a_deposed_verifier_is_not_recorded(
    shop: Shop, driver: VerifierDriver, ann: str, second: VerifierDriver
) -> None:
    driver.clock.pass_s(3)
    assert second.steps() == [VOUCHING]
    promoted = promote(shop.store, driver.clock)
    assert not driver.verifier.lease.record_run(new_incarnation(promoted.run()))
    assert VerifierLease.objects.get().vouched_runs == "/".join(shop.store.run())


def test_verifier_that_reaches_no_node_leaves_the_lease_to_another(
    shop: Shop, driver: VerifierDriver, ann: str, second: VerifierDriver
) -> None:
    class Unreachable(MemoryStore):
        def run(self) -> object:  # type: ignore[override]
            raise StoreUnavailable("no route to host")

    driver.verifier.node = Unreachable()
    states: list[Sequence[VerifierState]] = []
    for _ in range(12):
        states.append((driver.verifier.step(), second.verifier.step()))
        driver.clock.pass_s(0.5)
    assert states[-1] == (VerifierState.STORE_UNAVAILABLE, VOUCHING)
    assert isinstance(shop.read(ann), PurposePermission)


def test_two_verifiers_that_start_together_agree_on_one(shop: Shop, driver: VerifierDriver) -> None:
    driver.verifier.lease.release()
    others = [verifier_of(shop.store, driver.clock) for _ in range(5)]
    for _ in range(10):
        states = [other.step() for other in others]
        assert sum(state is not STANDBY for state in states) == 1
        driver.clock.pass_s(0.5)
    assert [states.count(VOUCHING), states.count(STANDBY)] == [1, 4]
