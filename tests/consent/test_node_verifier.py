"""Verifier of one node: a run is vouched for only while it holds the database's permissions."""

from dataclasses import dataclass
from itertools import count

import pytest
from django.db import OperationalError

from featurestore.consent import services
from featurestore.consent.models import ChangeSequence, PermissionChange, SubjectVersion
from featurestore.consent.vouching import node_verifier
from featurestore.consent.vouching.node_verifier import NodeVerifier, VerifierState
from featurestore.customers.selectors import subject_of_customer
from featurestore.permission import Denial, PurposePermission
from featurestore.profiles.services import Registration, register_many
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import Run, StoreClaim, StoreUnavailable
from featurestore.store.slots import SLOTS, format_slots, parse_slots, slot_of
from tests.kit.clock import Clock, at
from tests.kit.shop import Shop

EXPIRY_MS = 2000


@dataclass
class VerifierDriver:
    """Driver of a verifier: half a second a step, on a clock of the test's own."""

    verifier: NodeVerifier
    clock: Clock

    def steps(self, count: int = 1) -> list[VerifierState]:
        seen = []
        for _ in range(count):
            seen.append(self.verifier.step())
            self.clock.pass_s(0.5)
        return seen

    def until_vouching(self) -> float:
        """Seconds until the verifier vouches."""
        for n in range(20):
            if self.verifier.step() is VerifierState.VOUCHING:
                return n / 2
            self.clock.pass_s(0.5)
        raise AssertionError(self.verifier.state)


@pytest.fixture
def driver(shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> VerifierDriver:
    """Driver of a new verifier, on an empty store that was never vouched for."""
    shop.store.restart(emptied=True)
    ChangeSequence.objects.update(vouched_runs="")
    monkeypatch.setattr(node_verifier, "BATCH_SIZE", 100)
    return VerifierDriver(NodeVerifier(shop.store, EXPIRY_MS, clock), clock)


def read_claim(shop: Shop) -> StoreClaim:
    claimed = shop.store.read_claim()
    assert claimed is not None
    return claimed


def test_new_run_waits_until_a_dead_verifiers_vouch_key_expires(shop: Shop, driver: VerifierDriver) -> None:
    ann = shop.register().customer
    shop.give()
    assert shop.read(ann.subject) is Denial.UNVOUCHED
    assert driver.until_vouching() == 2.0
    assert isinstance(shop.read(ann.subject), PurposePermission)


def test_vouch_key_expires_after_two_seconds(shop: Shop, driver: VerifierDriver) -> None:
    ann = shop.register().customer
    driver.until_vouching()
    driver.clock.pass_s(1.9)
    assert isinstance(shop.read(ann.subject, "fraud"), PurposePermission)
    driver.clock.pass_s(0.1)
    assert shop.read(ann.subject, "fraud") is Denial.UNVOUCHED


def test_unchanged_run_is_vouched_for_at_every_step(shop: Shop, driver: VerifierDriver) -> None:
    driver.until_vouching()
    assert set(driver.steps(20)) == {VerifierState.VOUCHING}


def test_restarted_verifier_vouches_for_the_known_run_at_once(shop: Shop, driver: VerifierDriver) -> None:
    driver.until_vouching()
    assert NodeVerifier(shop.store, EXPIRY_MS, driver.clock).step() is VerifierState.VOUCHING


def test_emptied_store_denies_until_everything_is_published(shop: Shop, driver: VerifierDriver) -> None:
    register_many([Registration(f"c{n}", "eu", "acme") for n in range(110)], now=at())
    driver.until_vouching()
    shop.store.restart(emptied=True)
    assert driver.until_vouching() == 2.0
    assert len(list(shop.store.subjects())) == 110
    assert read_claim(shop).sequence == ChangeSequence.objects.get().sequence


def test_flushed_run_gets_every_permission_again(shop: Shop, driver: VerifierDriver) -> None:
    ann = shop.register().customer
    driver.until_vouching()
    driver.clock.pass_s(5)
    run = shop.store.run()
    shop.store.restart(emptied=True)
    shop.store._runs -= 1
    assert shop.store.run() == run  # FLUSHALL changes neither id
    assert shop.read(ann.subject, "fraud") is Denial.UNVOUCHED
    assert driver.until_vouching() == 0.0  # no vouch key of another run is left
    assert isinstance(shop.read(ann.subject, "fraud"), PurposePermission)


def test_run_with_old_data_gets_the_changes_since_its_claim(shop: Shop, driver: VerifierDriver) -> None:
    ann, bob = shop.register("ann").customer, shop.register("bob").customer
    shop.give(customer_id="ann")
    driver.until_vouching()
    driver.steps()
    old = shop.store._permissions.copy(), shop.store._claim
    shop.withdraw(customer_id="ann", when=5)
    driver.steps()
    shop.store.restart()
    shop.store._permissions, shop.store._claim = old  # a replica without the withdrawal is promoted
    shop.store._permissions.pop(bob.subject)  # shows that bob is not published again
    assert driver.until_vouching() == 1.5
    assert shop.read(ann.subject) is Denial.REFUSED
    assert shop.stored(bob.subject) is None


def test_returning_primary_gets_the_changes_it_missed(shop: Shop, driver: VerifierDriver) -> None:
    ann = shop.register().customer
    shop.give()
    driver.until_vouching()
    driver.steps()
    old = shop.store._permissions.copy(), shop.store._claim
    shop.store.restart()
    driver.until_vouching()
    shop.withdraw(when=5)
    driver.steps()
    shop.store._runs -= 1
    shop.store._permissions, shop.store._claim = old
    assert driver.until_vouching() == 1.5
    assert shop.read(ann.subject) is Denial.REFUSED


def test_vouch_after_a_failover_is_refused_by_the_store(
    shop: Shop, driver: VerifierDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.until_vouching()
    previous = shop.store.run()
    shop.store.restart()
    with monkeypatch.context() as patch:
        patch.setattr(shop.store, "run", lambda: previous)
        patch.setattr(shop.store, "vouch", lambda run, expiry_ms: MemoryStore.vouch(shop.store, Run("x", "y"), 1))
        assert driver.steps() == [VerifierState.STORE_CHANGED]


def test_change_during_a_publication_is_published_too(
    shop: Shop, driver: VerifierDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = shop.register().customer
    shop.give()
    driver.clock.pass_s(5)
    original, meanwhile = shop.store.publish_permissions, []

    def publish(permissions):
        if not meanwhile:  # after the rows were read, before they are published
            meanwhile.append(None)
            meanwhile.append(shop.withdraw(when=5))
        return original(permissions)

    monkeypatch.setattr(shop.store, "publish_permissions", publish)
    assert driver.steps() == [VerifierState.VOUCHING]
    assert not meanwhile[1].effective
    assert shop.read(ann.subject) is Denial.REFUSED
    assert read_claim(shop).sequence == meanwhile[1].sequence


def test_store_emptied_during_a_publication_gets_another(
    shop: Shop, driver: VerifierDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_many([Registration(f"c{n}", "eu", "acme") for n in range(150)], now=at())
    driver.clock.pass_s(5)
    original, emptied = shop.store.publish_permissions, []

    def publish(permissions):
        answer = original(permissions)
        if not emptied:
            emptied.append(True)
            shop.store.restart(emptied=True)
            shop.store._runs -= 1
        return answer

    monkeypatch.setattr(shop.store, "publish_permissions", publish)
    assert driver.steps(2) == [VerifierState.STORE_CHANGED, VerifierState.VOUCHING]
    assert len(list(shop.store.subjects())) == 150


def test_interrupted_publication_continues_at_its_last_batch(
    shop: Shop, driver: VerifierDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_many([Registration(f"c{n}", "eu", "acme") for n in range(250)], now=at())
    driver.clock.pass_s(5)
    original, sizes = shop.store.publish_permissions, []

    def publish(permissions):
        sizes.append(len(permissions))
        if len(sizes) == 3:
            raise StoreUnavailable("a moment")
        return original(permissions)

    monkeypatch.setattr(shop.store, "publish_permissions", publish)
    assert driver.steps(2) == [VerifierState.STORE_UNAVAILABLE, VerifierState.VOUCHING]
    assert sizes == [100, 100, 50, 50]


def test_publication_ends_early_when_the_process_stops(shop: Shop, clock: Clock) -> None:
    shop.register()
    shop.store.restart(emptied=True)
    stopped = NodeVerifier(shop.store, EXPIRY_MS, clock, stopping=lambda: True)
    clock.pass_s(5)
    assert stopped.step() is VerifierState.PUBLISHING


def test_unpublished_changes_are_published_before_vouching(shop: Shop, driver: VerifierDriver) -> None:
    ann = shop.register().customer
    shop.give()
    driver.until_vouching()
    shop.store.available = False
    assert not shop.withdraw(when=5).effective
    assert driver.steps() == [VerifierState.STORE_UNAVAILABLE]
    driver.clock.pass_s(2)
    shop.store.available = True
    assert shop.read(ann.subject) is Denial.UNVOUCHED  # still the same run, with the old grant
    assert driver.steps() == [VerifierState.VOUCHING]
    assert shop.read(ann.subject) is Denial.REFUSED
    assert not PermissionChange.objects.filter(published_at=None).exists()


def test_claim_ends_before_the_first_unpublished_change(shop: Shop, driver: VerifierDriver) -> None:
    driver.until_vouching()
    shop.register()
    first = shop.give().sequence
    driver.steps()
    assert read_claim(shop).sequence == first
    later = shop.withdraw(when=5).sequence
    PermissionChange.objects.filter(sequence=later).update(published_at=None)
    assert driver.verifier.published_up_to() == first
    driver.steps()
    assert read_claim(shop).sequence == driver.verifier.published_up_to() == later


def test_raised_epoch_publishes_every_permission_again(shop: Shop, driver: VerifierDriver) -> None:
    ann = shop.register().customer
    shop.give()
    driver.until_vouching()
    driver.clock.pass_s(5)
    before = ChangeSequence.objects.get()
    change_sequence = services.raise_epoch(at(10))
    assert (change_sequence.epoch, change_sequence.sequence) > (before.epoch, before.sequence)
    assert driver.steps() == [VerifierState.VOUCHING]
    stored = shop.stored(ann.subject)
    assert stored is not None
    assert stored.epoch == read_claim(shop).epoch == change_sequence.epoch


def test_database_restored_without_a_new_epoch_is_not_vouched_for(shop: Shop, driver: VerifierDriver) -> None:
    ann = shop.register().customer
    shop.give()
    driver.until_vouching()
    driver.steps()
    backup = ChangeSequence.objects.get().sequence - 1
    ChangeSequence.objects.update(sequence=backup)
    SubjectVersion.objects.update(sequence=backup)
    assert driver.steps() == [VerifierState.STORE_AHEAD]
    driver.clock.pass_s(2)
    assert shop.read(ann.subject) is Denial.UNVOUCHED
    services.raise_epoch(at(10))
    assert driver.steps() == [VerifierState.VOUCHING]


def test_known_run_is_vouched_for_30_s_without_the_database(
    shop: Shop, driver: VerifierDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.until_vouching()

    def away():
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(node_verifier, "load_change_sequence", away)
    assert driver.steps() == [VerifierState.DATABASE_UNAVAILABLE]
    shop.store.restart()
    assert driver.steps() == [VerifierState.DATABASE_LOST]  # another run
    shop.store._runs -= 1
    driver.clock.pass_s(node_verifier.DATABASE_GRACE_S)
    assert driver.steps() == [VerifierState.DATABASE_LOST]


def test_verifier_without_the_database_from_the_start_never_vouches(
    shop: Shop, driver: VerifierDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.until_vouching()

    def away():
        raise OperationalError("could not connect")

    monkeypatch.setattr(node_verifier, "load_change_sequence", away)
    assert NodeVerifier(shop.store, EXPIRY_MS, driver.clock).step() is VerifierState.DATABASE_LOST


def test_only_changes_of_state_are_logged(shop: Shop, driver: VerifierDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    for level in ("info", "warning"):
        monkeypatch.setattr(node_verifier.log, level, lambda event, **fields: lines.append(str(fields.get("state"))))
    driver.until_vouching()
    driver.steps(10)
    shop.store.available = False
    driver.steps(10)
    assert [line for line in lines if line != "None"] == [
        VerifierState.WAITING.value,
        VerifierState.VOUCHING.value,
        VerifierState.STORE_UNAVAILABLE.value,
    ]


class HalfStore(MemoryStore):
    """Store of a node with half of the slots."""

    slots = format_slots([(0, SLOTS // 2 - 1)])

    def run(self) -> Run:
        return super().run()._replace(slots=self.slots)

    def owns(self, subject: str) -> bool:
        return slot_of(subject) in parse_slots(self.slots)


@pytest.fixture
def half_driver(shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> VerifierDriver:
    """Driver of the verifier of one node, never vouched for. No store has the other slots."""
    node = HalfStore(clock)
    monkeypatch.setattr(shop, "store", node)
    ChangeSequence.objects.update(vouched_runs="")
    return VerifierDriver(NodeVerifier(node, EXPIRY_MS, clock), clock)


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
    assert half_driver.verifier.published_up_to() == ChangeSequence.objects.get().sequence
    PermissionChange.objects.update(published_at=None)
    assert half_driver.verifier.published_up_to() == SubjectVersion.objects.get(subject=ours).sequence - 1
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
        node_verifier.record_vouched_run(Run("x", "y", "5-7"))
    shop.store.restart()  # a replica with the same claim
    assert half_driver.until_vouching() > 0
    assert (shop.stored(ours) is None) == (slots == "kept")


def test_vouch_keys_of_other_slots_are_not_waited_for(shop: Shop, half_driver: VerifierDriver) -> None:
    half_driver.clock.pass_s(2)  # the vouch key of an earlier process expires
    half_driver.verifier._vouch_times[Run("x", "y", f"{SLOTS // 2}-{SLOTS - 1}")] = half_driver.clock()
    assert half_driver.until_vouching() == 0.0
    half_driver.verifier._vouch_times[Run("x", "y", f"{SLOTS // 2 - 1}-{SLOTS - 1}")] = half_driver.clock()
    shop.store.restart()
    assert half_driver.until_vouching() == 2.0


def test_vouched_run_is_recorded_until_another_has_its_slots(shop: Shop) -> None:
    ChangeSequence.objects.update(vouched_runs="")
    for run in (Run("a", "1", "0-5"), Run("b", "1", "6-9,12-12"), Run("c", "1", "10-11"), Run("d", "1", "5-6")):
        node_verifier.record_vouched_run(run)
    assert ChangeSequence.objects.get().vouched_runs.split() == ["c/1/10-11", "d/1/5-6"]
    node_verifier.record_vouched_run(Run("single", "1"))
    assert ChangeSequence.objects.get().vouched_runs.split() == ["single/1/"]
