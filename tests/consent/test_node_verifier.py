"""The voucher: nobody reads from a run that does not hold the database's permissions."""

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
from featurestore.store.protocol import Run, StoreUnavailable
from featurestore.store.slots import SLOTS, format_slots, parse_slots, slot_of
from tests.kit.clock import Clock, at
from tests.kit.shop import Shop

EXPIRY_MS = 2000


@dataclass
class Watch:
    """A voucher at work, half a second a step."""

    verifier: NodeVerifier
    clock: Clock

    def steps(self, count: int = 1) -> list[VerifierState]:
        seen = []
        for _ in range(count):
            seen.append(self.verifier.step())
            self.clock.pass_s(0.5)
        return seen

    def until_vouching(self) -> float:
        """The seconds until the voucher gives its word."""
        for n in range(20):
            if self.verifier.step() is VerifierState.VOUCHING:
                return n / 2
            self.clock.pass_s(0.5)
        raise AssertionError(self.verifier.state)


@pytest.fixture
def watch(shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """A voucher that has just begun, on a store that nobody has vouched for."""
    shop.store.restart(emptied=True)
    ChangeSequence.objects.update(vouched_runs="")
    monkeypatch.setattr(node_verifier, "BATCH_SIZE", 100)
    return Watch(NodeVerifier(shop.store, EXPIRY_MS, clock), clock)


def claim(shop: Shop) -> tuple[Run, int, int]:
    claimed = shop.store.read_claim()
    assert claimed is not None
    return claimed


def test_a_new_run_is_denied_until_the_word_of_a_dead_voucher_is_over(shop: Shop, watch: Watch) -> None:
    ann = shop.register().customer
    shop.give()
    assert shop.read(ann.subject) is Denial.UNVOUCHED
    assert watch.until_vouching() == 2.0
    assert isinstance(shop.read(ann.subject), PurposePermission)


def test_its_word_holds_two_seconds(shop: Shop, watch: Watch) -> None:
    ann = shop.register().customer
    watch.until_vouching()
    watch.clock.pass_s(1.9)
    assert isinstance(shop.read(ann.subject, "fraud"), PurposePermission)
    watch.clock.pass_s(0.1)
    assert shop.read(ann.subject, "fraud") is Denial.UNVOUCHED


def test_a_steady_run_is_vouched_for_at_every_step(shop: Shop, watch: Watch) -> None:
    watch.until_vouching()
    assert set(watch.steps(20)) == {VerifierState.VOUCHING}


def test_a_voucher_begun_anew_goes_on_at_once_with_the_run_it_finds(shop: Shop, watch: Watch) -> None:
    watch.until_vouching()
    assert NodeVerifier(shop.store, EXPIRY_MS, watch.clock).step() is VerifierState.VOUCHING


def test_an_emptied_store_gets_everything_again_and_nothing_is_served_before(shop: Shop, watch: Watch) -> None:
    register_many([Registration(f"c{n}", "eu", "acme") for n in range(110)], now=at())
    watch.until_vouching()
    shop.store.restart(emptied=True)
    assert watch.until_vouching() == 2.0
    assert len(list(shop.store.subjects())) == 110
    assert claim(shop)[2] == ChangeSequence.objects.get().sequence


def test_a_flushed_run_gets_everything_again(shop: Shop, watch: Watch) -> None:
    ann = shop.register().customer
    watch.until_vouching()
    watch.clock.pass_s(5)
    run = shop.store.run()
    shop.store.restart(emptied=True)
    shop.store._runs -= 1
    assert shop.store.run() == run  # FLUSHALL changes neither id
    assert shop.read(ann.subject, "fraud") is Denial.UNVOUCHED
    assert watch.until_vouching() == 0.0  # nobody holds a word for another run
    assert isinstance(shop.read(ann.subject, "fraud"), PurposePermission)


def test_a_run_with_old_data_gets_what_changed_since_its_claim(shop: Shop, watch: Watch) -> None:
    ann, bob = shop.register("ann").customer, shop.register("bob").customer
    shop.give(customer_id="ann")
    watch.until_vouching()
    watch.steps()
    old = shop.store._permissions.copy(), shop.store._claim
    shop.withdraw(customer_id="ann", when=5)
    watch.steps()
    shop.store.restart()
    shop.store._permissions, shop.store._claim = old  # a replica that had not heard of the withdrawal is promoted
    shop.store._permissions.pop(bob.subject)  # shows that bob is not put again
    assert watch.until_vouching() == 1.5
    assert shop.read(ann.subject) is Denial.REFUSED
    assert shop.stored(bob.subject) is None


def test_an_old_master_that_comes_back_as_the_run_it_was_gets_what_it_missed(shop: Shop, watch: Watch) -> None:
    ann = shop.register().customer
    shop.give()
    watch.until_vouching()
    watch.steps()
    old = shop.store._permissions.copy(), shop.store._claim
    shop.store.restart()
    watch.until_vouching()
    shop.withdraw(when=5)
    watch.steps()
    shop.store._runs -= 1
    shop.store._permissions, shop.store._claim = old
    assert watch.until_vouching() == 1.5
    assert shop.read(ann.subject) is Denial.REFUSED


def test_a_failover_between_looking_and_vouching_is_refused_by_the_store(
    shop: Shop, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.until_vouching()
    looked_at = shop.store.run()
    shop.store.restart()
    with monkeypatch.context() as patch:
        patch.setattr(shop.store, "run", lambda: looked_at)
        patch.setattr(shop.store, "vouch", lambda run, expiry_ms: MemoryStore.vouch(shop.store, Run("x", "y"), 1))
        assert watch.steps() == [VerifierState.STORE_CHANGED]


def test_a_change_in_the_middle_of_a_filling_is_put_too(
    shop: Shop, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = shop.register().customer
    shop.give()
    watch.clock.pass_s(5)
    put, meanwhile = shop.store.publish_permissions, []

    def putting(permissions):
        if not meanwhile:  # after the rows were read, before they are put
            meanwhile.append(None)
            meanwhile.append(shop.withdraw(when=5))
        return put(permissions)

    monkeypatch.setattr(shop.store, "publish_permissions", putting)
    assert watch.steps() == [VerifierState.VOUCHING]
    assert not meanwhile[1].effective
    assert shop.read(ann.subject) is Denial.REFUSED
    assert claim(shop)[2] == meanwhile[1].sequence


def test_a_store_emptied_in_the_middle_of_a_filling_is_filled_again(
    shop: Shop, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_many([Registration(f"c{n}", "eu", "acme") for n in range(150)], now=at())
    watch.clock.pass_s(5)
    put, emptied = shop.store.publish_permissions, []

    def putting(permissions):
        answer = put(permissions)
        if not emptied:
            emptied.append(True)
            shop.store.restart(emptied=True)
            shop.store._runs -= 1
        return answer

    monkeypatch.setattr(shop.store, "publish_permissions", putting)
    assert watch.steps(2) == [VerifierState.STORE_CHANGED, VerifierState.VOUCHING]
    assert len(list(shop.store.subjects())) == 150


def test_an_interrupted_filling_goes_on_where_it_was(shop: Shop, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    register_many([Registration(f"c{n}", "eu", "acme") for n in range(250)], now=at())
    watch.clock.pass_s(5)
    put, sizes = shop.store.publish_permissions, []

    def putting(permissions):
        sizes.append(len(permissions))
        if len(sizes) == 3:
            raise StoreUnavailable("a moment")
        return put(permissions)

    monkeypatch.setattr(shop.store, "publish_permissions", putting)
    assert watch.steps(2) == [VerifierState.STORE_AWAY, VerifierState.VOUCHING]
    assert sizes == [100, 100, 50, 50]


def test_a_filling_ends_early_when_the_process_is_told_to_stop(shop: Shop, clock: Clock) -> None:
    shop.register()
    shop.store.restart(emptied=True)
    stopped = NodeVerifier(shop.store, EXPIRY_MS, clock, stopping=lambda: True)
    clock.pass_s(5)
    assert stopped.step() is VerifierState.PUBLISHING


def test_changes_that_nobody_put_are_put_before_the_next_word(shop: Shop, watch: Watch) -> None:
    ann = shop.register().customer
    shop.give()
    watch.until_vouching()
    shop.store.available = False
    assert not shop.withdraw(when=5).effective
    assert watch.steps() == [VerifierState.STORE_AWAY]
    watch.clock.pass_s(2)
    shop.store.available = True
    assert shop.read(ann.subject) is Denial.UNVOUCHED  # still the same run, with the old grant
    assert watch.steps() == [VerifierState.VOUCHING]
    assert shop.read(ann.subject) is Denial.REFUSED
    assert not PermissionChange.objects.filter(published_at=None).exists()


def test_the_claim_follows_what_is_put_and_stops_before_what_is_not(shop: Shop, watch: Watch) -> None:
    watch.until_vouching()
    shop.register()
    first = shop.give().sequence
    watch.steps()
    assert claim(shop)[2] == first
    later = shop.withdraw(when=5).sequence
    PermissionChange.objects.filter(sequence=later).update(published_at=None)
    assert watch.verifier.published_up_to() == first
    watch.steps()
    assert claim(shop)[2] == watch.verifier.published_up_to() == later


def test_a_raised_epoch_has_everything_put_again(shop: Shop, watch: Watch) -> None:
    ann = shop.register().customer
    shop.give()
    watch.until_vouching()
    watch.clock.pass_s(5)
    before = ChangeSequence.objects.get()
    change_sequence = services.raise_epoch(at(10))
    assert (change_sequence.epoch, change_sequence.sequence) > (before.epoch, before.sequence)
    assert watch.steps() == [VerifierState.VOUCHING]
    stored = shop.stored(ann.subject)
    assert stored is not None
    assert stored.epoch == claim(shop)[1] == change_sequence.epoch


def test_a_database_restored_without_a_new_epoch_is_not_vouched_for(shop: Shop, watch: Watch) -> None:
    ann = shop.register().customer
    shop.give()
    watch.until_vouching()
    watch.steps()
    backup = ChangeSequence.objects.get().sequence - 1
    ChangeSequence.objects.update(sequence=backup)
    SubjectVersion.objects.update(sequence=backup)
    assert watch.steps() == [VerifierState.STORE_AHEAD]
    watch.clock.pass_s(2)
    assert shop.read(ann.subject) is Denial.UNVOUCHED
    services.raise_epoch(at(10))
    assert watch.steps() == [VerifierState.VOUCHING]


def test_with_the_database_away_the_known_run_is_vouched_for_a_while(
    shop: Shop, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.until_vouching()

    def away():
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(node_verifier, "load_change_sequence", away)
    assert watch.steps() == [VerifierState.DATABASE_AWAY]
    shop.store.restart()
    assert watch.steps() == [VerifierState.DATABASE_LOST]  # a run that it does not know
    shop.store._runs -= 1
    watch.clock.pass_s(node_verifier.DATABASE_GRACE_S)
    assert watch.steps() == [VerifierState.DATABASE_LOST]


def test_a_voucher_that_never_saw_the_database_vouches_for_nothing(
    shop: Shop, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.until_vouching()

    def away():
        raise OperationalError("could not connect")

    monkeypatch.setattr(node_verifier, "load_change_sequence", away)
    assert NodeVerifier(shop.store, EXPIRY_MS, watch.clock).step() is VerifierState.DATABASE_LOST


def test_only_changes_of_condition_are_logged(shop: Shop, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    for level in ("info", "warning"):
        monkeypatch.setattr(node_verifier.log, level, lambda event, **fields: lines.append(str(fields.get("state"))))
    watch.until_vouching()
    watch.steps(10)
    shop.store.available = False
    watch.steps(10)
    assert [line for line in lines if line != "None"] == [
        VerifierState.WAITING.value,
        VerifierState.VOUCHING.value,
        VerifierState.STORE_AWAY.value,
    ]


class HalfStore(MemoryStore):
    """A node with half of the slots."""

    slots = format_slots([(0, SLOTS // 2 - 1)])

    def run(self) -> Run:
        return super().run()._replace(slots=self.slots)

    def owns(self, subject: str) -> bool:
        return slot_of(subject) in parse_slots(self.slots)


@pytest.fixture
def half(shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """The voucher of a node that has not been vouched for; nobody reaches the store of the others."""
    node = HalfStore(clock)
    monkeypatch.setattr(shop, "store", node)
    ChangeSequence.objects.update(vouched_runs="")
    return Watch(NodeVerifier(node, EXPIRY_MS, clock), clock)


def registered(shop: Shop, owned: bool) -> str:
    """A customer's subject that the node owns, or one that it does not."""
    names = (f"c{n}" for n in count())
    subjects = ((name, subject_of_customer(name)) for name in names)
    name = next(name for name, subject in subjects if shop.store.owns(subject) is owned)
    return shop.register(name).customer.subject


def test_a_node_gets_the_permissions_of_its_own_subjects_alone(shop: Shop, half: Watch) -> None:
    ours, theirs = registered(shop, True), registered(shop, False)
    PermissionChange.objects.update(published_at=None)
    half.until_vouching()
    assert list(shop.store.subjects()) == [ours]
    waiting = PermissionChange.objects.filter(published_at=None)
    assert [change.subject for change in waiting] == [theirs], "another node's voucher puts it"
    assert half.verifier.published_up_to() == ChangeSequence.objects.get().sequence
    PermissionChange.objects.update(published_at=None)
    assert half.verifier.published_up_to() == SubjectVersion.objects.get(subject=ours).sequence - 1
    assert half.steps() == [VerifierState.VOUCHING]
    assert [change.subject for change in waiting.all()] == [theirs]


@pytest.mark.parametrize("meanwhile", ["nobody's", "another's"])
def test_a_promoted_node_lacks_what_changed_since_its_claim_and_everything_if_its_slots_were_away(
    shop: Shop, half: Watch, meanwhile: str
) -> None:
    ours = registered(shop, True)
    half.until_vouching()
    half.steps()
    shop.store._permissions.pop(ours)  # shows whether it is put again
    if meanwhile == "another's":
        node_verifier.record_vouched_run(Run("x", "y", "5-7"))
    shop.store.restart()  # a replica with the same claim
    assert half.until_vouching() > 0
    assert (shop.stored(ours) is None) == (meanwhile == "nobody's")


def test_words_for_other_slots_are_not_waited_for(shop: Shop, half: Watch) -> None:
    half.clock.pass_s(2)  # of an earlier voucher
    half.verifier._vouch_times[Run("x", "y", f"{SLOTS // 2}-{SLOTS - 1}")] = half.clock()
    assert half.until_vouching() == 0.0
    half.verifier._vouch_times[Run("x", "y", f"{SLOTS // 2 - 1}-{SLOTS - 1}")] = half.clock()
    shop.store.restart()
    assert half.until_vouching() == 2.0


def test_a_run_is_remembered_until_another_of_its_slots_is(shop: Shop) -> None:
    ChangeSequence.objects.update(vouched_runs="")
    for run in (Run("a", "1", "0-5"), Run("b", "1", "6-9,12-12"), Run("c", "1", "10-11"), Run("d", "1", "5-6")):
        node_verifier.record_vouched_run(run)
    assert ChangeSequence.objects.get().vouched_runs.split() == ["c/1/10-11", "d/1/5-6"]
    node_verifier.record_vouched_run(Run("single", "1"))
    assert ChangeSequence.objects.get().vouched_runs.split() == ["single/1/"]
