"""Verifier of a node of a cluster, which has some of the slots."""

from itertools import count

import pytest

from featurestore.consent.models import ChangeSequence, PermissionChange, SubjectVersion
from featurestore.consent.vouching.node_verifier import VerifierState
from featurestore.customers.selectors import subject_of_customer
from featurestore.store.protocol import Run, new_incarnation
from featurestore.store.slots import SLOTS
from tests.kit.clock import Clock
from tests.kit.shop import Shop
from tests.kit.stores import HalfStore, record_vouched_runs, vouched_runs
from tests.kit.verifier import VerifierDriver, verifier_of


@pytest.fixture
def half_driver(shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> VerifierDriver:
    """Driver of the verifier of one node, never vouched for. No store has the other slots."""
    node = HalfStore(clock)
    monkeypatch.setattr(shop, "store", node)
    record_vouched_runs()
    verifier = verifier_of(node, clock)
    assert verifier.lease.hold()
    return VerifierDriver(verifier, clock)


def register_customer(shop: Shop, owned: bool) -> str:
    """Register a customer whose subject the node owns, or does not own; return the subject."""
    names = (f"c{n}" for n in count())
    subjects = ((name, subject_of_customer(name)) for name in names)
    name = next(name for name, subject in subjects if shop.store.owns(subject) is owned)
    return shop.register(name).customer.subject


def test_node_gets_the_permissions_of_its_own_subjects_only(shop: Shop, half_driver: VerifierDriver) -> None:
    ours, theirs = register_customer(shop, True), register_customer(shop, False)
    PermissionChange.objects.update(published_at=None)
    half_driver.until_vouching()
    assert list(shop.store.subjects()) == [ours]
    waiting = PermissionChange.objects.filter(published_at=None)
    assert [change.subject for change in waiting] == [theirs], "another node's verifier publishes it"
    assert half_driver.verifier.changes.published_up_to() == ChangeSequence.objects.get().sequence
    PermissionChange.objects.update(published_at=None)
    assert half_driver.verifier.changes.published_up_to() == SubjectVersion.objects.get(subject=ours).sequence - 1
    assert half_driver.steps() == [VerifierState.VOUCHING]
    assert [change.subject for change in waiting.all()] == [theirs]


@pytest.mark.parametrize("slots", ["kept", "moved"])
def test_promoted_node_gets_everything_if_its_slots_had_moved(
    shop: Shop, half_driver: VerifierDriver, slots: str
) -> None:
    ours = register_customer(shop, True)
    half_driver.until_vouching()
    half_driver.steps()
    shop.store._permissions.pop(ours)  # shows whether it is published again
    if slots == "moved":
        assert half_driver.verifier.lease.record_run(new_incarnation(Run("x", "y", "5-7")))
    shop.store.restart()  # a replica with the same claim
    assert half_driver.until_vouching() > 0
    assert (shop.stored(ours) is None) == (slots == "kept")


def test_vouch_keys_of_other_slots_are_not_waited_for(shop: Shop, half_driver: VerifierDriver) -> None:
    half_driver.clock.pass_s(2)  # the vouch key of an earlier process expires
    half_driver.verifier.lease.vouched(Run("x", "y", f"{SLOTS // 2}-{SLOTS - 1}"))
    assert half_driver.until_vouching() == 0.0
    half_driver.verifier.lease.vouched(Run("x", "y", f"{SLOTS // 2 - 1}-{SLOTS - 1}"))
    shop.store.restart()
    assert half_driver.until_vouching() == 2.0


def test_vouched_run_is_recorded_until_another_has_its_slots(half_driver: VerifierDriver) -> None:
    lease = half_driver.verifier.lease
    for run in (Run("a", "1", "0-5"), Run("b", "1", "6-9,12-12"), Run("c", "1", "10-11"), Run("d", "1", "5-6")):
        assert lease.record_run(new_incarnation(run))
    assert vouched_runs() == ["c/1/10-11", "d/1/5-6"]
    assert lease.record_run(new_incarnation(Run("single", "1")))
    assert vouched_runs() == ["single/1/"]
