"""Verifier of one node: a run is vouched for only while it holds the database's permissions."""

import copy

import pytest
from django.db import OperationalError

from featurestore.consent import services
from featurestore.consent.models import ChangeSequence, PermissionChange, SubjectVersion
from featurestore.consent.vouching import node_verifier
from featurestore.consent.vouching.node_verifier import VerifierState
from featurestore.permission import Denial, PurposePermission
from featurestore.profiles.services import Registration, register_many
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import Run, StoreUnavailable
from tests.kit.clock import Clock, at
from tests.kit.shop import Shop
from tests.kit.verifier import VerifierDriver, read_claim, verifier_of

SET_BACK = ("_permissions", "_fields", "_recreation_marks", "_watermarks", "_vouch", "_claim", "_highest")
"""What an earlier snapshot of the store changes; the run stays the same."""


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
    driver.verifier.lease.release()
    assert verifier_of(shop.store, driver.clock).step() is VerifierState.VOUCHING


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
        another = Run("x", "y")
        patch.setattr(
            shop.store, "vouch", lambda claim, ms: MemoryStore.vouch(shop.store, claim._replace(run=another), ms)
        )
        assert driver.steps() == [VerifierState.STORE_CHANGED]


def test_change_during_a_publication_is_published_too(
    shop: Shop, driver: VerifierDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = shop.register().customer
    shop.give()
    driver.clock.pass_s(5)
    original, meanwhile = shop.store.publish_permissions, []

    def publish(*sent):
        if not meanwhile:  # after the rows were read, before they are published
            meanwhile.append(None)
            meanwhile.append(shop.withdraw(when=5))
        return original(*sent)

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

    def publish(*sent):
        answer = original(*sent)
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

    def publish(*sent):
        sizes.append(len(sent[0]))
        if len(sizes) == 3:
            raise StoreUnavailable("a moment")
        return original(*sent)

    monkeypatch.setattr(shop.store, "publish_permissions", publish)
    assert driver.steps(2) == [VerifierState.STORE_UNAVAILABLE, VerifierState.VOUCHING]
    assert sizes == [100, 100, 50, 50]


def test_publication_ends_early_when_the_process_stops(shop: Shop, clock: Clock) -> None:
    shop.register()
    shop.store.restart(emptied=True)
    stopped = verifier_of(shop.store, clock, stopping=lambda: True)
    assert stopped.lease.hold()
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
    assert driver.verifier.changes.published_up_to() == first
    driver.steps()
    assert read_claim(shop).sequence == driver.verifier.changes.published_up_to() == later


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
    assert driver.steps() == [VerifierState.LATCHED]
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
    assert verifier_of(shop.store, driver.clock).step() is VerifierState.DATABASE_LOST


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


@pytest.mark.parametrize("later", ["a withdrawal", "values alone"])
@pytest.mark.parametrize("verified_by", ["the same process", "a successor"])
def test_run_that_went_back_to_earlier_contents_gets_everything_again(
    shop: Shop, driver: VerifierDriver, later: str, verified_by: str
) -> None:
    ann = shop.register().customer.subject
    shop.give()
    driver.until_vouching()
    driver.steps()
    contents = {name: copy.deepcopy(found) for name, found in vars(shop.store).items() if name in SET_BACK}
    incarnation = shop.store.read([], [], [], 100).nodes[0].incarnation
    if later == "a withdrawal":
        shop.withdraw(when=5)
    driver.steps(2)
    if verified_by == "a successor":
        driver.verifier.lease.release()
        driver = VerifierDriver(verifier_of(shop.store, driver.clock), driver.clock)
    vars(shop.store).update(contents)
    shop.store._permissions.pop(ann)  # shows that everything is published
    assert driver.until_vouching() <= 2.0
    assert isinstance(shop.read(ann), PurposePermission if later == "values alone" else Denial)
    assert shop.store.read([], [], [], 100).nodes[0].incarnation != incarnation, "its values are pushed again"


def test_vouch_whose_answer_was_lost_is_no_set_back(
    shop: Shop, driver: VerifierDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.until_vouching()
    incarnation = shop.store.read([], [], [], 100).nodes[0].incarnation
    original = shop.store.vouch

    def lose_the_answer(*arguments: object) -> bool:
        original(*arguments)
        raise StoreUnavailable("store did not answer in time")

    with monkeypatch.context() as patch:
        patch.setattr(shop.store, "vouch", lose_the_answer)
        assert driver.steps(2) == [VerifierState.STORE_UNAVAILABLE] * 2
    assert driver.steps(2) == [VerifierState.VOUCHING] * 2
    assert shop.store.read([], [], [], 100).nodes[0].incarnation == incarnation
