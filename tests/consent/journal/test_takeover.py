"""Take-over: every lost denial holds afterwards, with its evidence; nothing is allowed on the word of the journal."""

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from featurestore.consent.change_sequence import lock_change_sequence
from featurestore.consent.journal.appender import append_due
from featurestore.consent.journal.comparison import JournalComparer
from featurestore.consent.journal.losses import JournalGap, Losses, find_losses
from featurestore.consent.journal.takeover import REASON, TakeOver, plan_take_over, take_over
from featurestore.consent.management.commands import take_over_denials
from featurestore.consent.models import (
    ChangeSequence,
    ConsentRecord,
    CurrentPermission,
    JournalCheckpoint,
    KeptDenial,
    PermissionChange,
    SubjectVersion,
)
from featurestore.consent.outbox.publication import permissions_of
from featurestore.consent.services import backfill_purposes, define_purpose, expire_due, pause, record_erasure
from featurestore.customers.models import Customer
from featurestore.permission import PurposePermission
from featurestore.store import configured
from featurestore.store.protocol import ReadResult, Run
from tests.kit.backups import back_up, restore
from tests.kit.clock import Clock, at, ms
from tests.kit.journal import MemoryJournal
from tests.kit.shop import Shop

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def backup(shop: Shop, journal: MemoryJournal, tmp_path: Path) -> Path:
    """A backup with one customer who consented. All of it is in the journal."""
    shop.register()
    shop.give(when=1)
    append_due(journal)
    back_up(tmp_path / "backup")
    return tmp_path / "backup"


def restored(backup: Path, journal: MemoryJournal) -> None:
    append_due(journal)
    restore(backup)


def decide(shop: Shop, journal: MemoryJournal, when: float = 1000) -> TakeOver:
    """What the operator's command does."""
    return take_over(find_losses(journal, shop.store), journal, "petra", now=at(when))


def permission(subject: str, purpose: str = "service") -> PurposePermission | None:
    """The purpose's permission that the database derives."""
    return permissions_of([subject])[subject].purposes.get(purpose)


def subject_of(customer_id: str = "ann") -> str:
    return CurrentPermission.objects.filter(customer__customer_id=customer_id)[0].customer.subject


def test_withdrawal_holds_with_its_evidence(shop: Shop, journal: MemoryJournal, backup: Path) -> None:
    shop.withdraw(when=60, method="chat", actor="bot", reason="a free text")
    restored(backup, journal)
    assert permission(subject_of()).allowed
    plan = decide(shop, journal)
    assert [(denial.purpose, denial.recorded_ms) for _, _, denial in plan.denials] == [("service", ms(at(60)))]
    assert not permission(subject_of()).allowed
    record = ConsentRecord.objects.get(decision="withdrawn")
    assert (record.method, record.actor, record.since) == ("chat", "bot", at(60))
    assert record.reason == f"{REASON}; recorded at {at(60).isoformat(timespec='milliseconds')}"
    change = PermissionChange.objects.get(sequence=record.sequence)
    assert change.purge
    assert change.journaled_at is None


def test_planning_changes_nothing(shop: Shop, journal: MemoryJournal, backup: Path) -> None:
    shop.withdraw(when=60)
    restored(backup, journal)
    before = ChangeSequence.objects.values().get()
    assert len(plan_take_over(find_losses(journal, shop.store)).denials) == 1
    assert ChangeSequence.objects.values().get() == before
    assert permission(subject_of()).allowed


def test_epoch_and_sequence_are_above_everything_seen(shop: Shop, journal: MemoryJournal, backup: Path) -> None:
    lost = shop.withdraw(when=60).sequence
    restored(backup, journal)
    before = ChangeSequence.objects.get()
    decide(shop, journal)
    after = ChangeSequence.objects.get()
    assert after.epoch > before.epoch
    assert after.sequence > lost + 1000


def test_comparison_goes_on_after_the_take_over(
    shop: Shop, journal: MemoryJournal, comparer: JournalComparer, clock: Clock, backup: Path
) -> None:
    shop.withdraw(when=60)
    comparer.step()
    restored(backup, journal)
    run = Run("one", "1")
    assert comparer.is_ahead(run)
    decide(shop, journal)
    for process in (comparer, JournalComparer(journal, clock)):
        process.step()
        assert not process.is_ahead(run)
    assert find_losses(journal, shop.store).records == {}


def test_what_only_the_store_knows_is_taken_over_without_evidence(
    shop: Shop, journal: MemoryJournal, backup: Path
) -> None:
    shop.withdraw(when=60)
    restore(backup)  # before the journal had it
    decide(shop, journal)
    assert not permission(subject_of()).allowed
    record = ConsentRecord.objects.get(decision="withdrawn")
    assert (record.method, record.actor) == ("system", "petra")
    assert "without evidence" in record.reason


def test_denial_in_an_emptied_store_is_taken_over_from_the_journal(
    shop: Shop, journal: MemoryJournal, backup: Path
) -> None:
    shop.withdraw(when=60)
    restored(backup, journal)
    shop.store.restart(emptied=True)
    decide(shop, journal)
    assert not permission(subject_of()).allowed


def test_later_decision_stays_under_a_new_grant(shop: Shop, journal: MemoryJournal, backup: Path) -> None:
    shop.withdraw(when=60)
    restored(backup, journal)
    old = permission(subject_of()).grant_id
    shop.give(when=100)
    assert permission(subject_of()).grant_id == old, "a repeat, as the database sees it"
    plan = decide(shop, journal)
    assert plan.denials == []
    renewed = permission(subject_of())
    assert renewed.allowed
    assert renewed.grant_id > old + 1000
    assert renewed.since_ms == ms(at(1001))


def test_grants_whose_ids_may_be_issued_twice_get_new_ones(shop: Shop, journal: MemoryJournal, backup: Path) -> None:
    shop.register("lost", when=50)
    restored(backup, journal)
    shop.register("bob", when=70)
    before, untouched = permission(subject_of("bob"), "fraud"), permission(subject_of())
    plan = decide(shop, journal)
    assert {row.customer.customer_id for row in plan.renewed} == {"bob"}
    after = permission(subject_of("bob"), "fraud")
    assert after.allowed
    assert after.grant_id > before.grant_id + 1000
    assert permission(subject_of()) == untouched


def test_customer_registered_again_begins_with_the_lost_objection(
    shop: Shop, journal: MemoryJournal, backup: Path
) -> None:
    bob = shop.register("bob", when=50).customer.subject
    shop.withdraw("analytics", customer_id="bob", when=60, method="chat", actor="bot")
    restored(backup, journal)
    plan = decide(shop, journal)
    assert bob in plan.unknown
    assert SubjectVersion.objects.filter(subject=bob).exists()
    assert permissions_of([bob])[bob].purposes == {}, "a versioned denial"
    shop.register("bob", when=2000)
    assert not permission(bob, "analytics").allowed
    assert permission(bob, "fraud").allowed
    record = ConsentRecord.objects.get(customer__subject=bob)
    assert (record.decision, record.method, record.actor, record.since) == ("withdrawn", "chat", "bot", at(60))
    assert not KeptDenial.objects.exists()


def test_customer_registered_again_before_the_take_over_is_denied_too(
    shop: Shop, journal: MemoryJournal, backup: Path
) -> None:
    bob = shop.register("bob", when=50).customer.subject
    shop.withdraw("analytics", customer_id="bob", when=60)
    restored(backup, journal)
    shop.register("bob", when=70)
    assert permission(bob, "analytics").allowed
    decide(shop, journal)
    assert not permission(bob, "analytics").allowed


def test_objection_to_a_purpose_that_is_not_defined_again_is_kept(
    shop: Shop, journal: MemoryJournal, backup: Path
) -> None:
    define_purpose("surveys", title="Surveys", lawful_basis="legitimate_interest")
    backfill_purposes(at(50))
    shop.withdraw("surveys", when=60)
    restored(backup, journal)
    decide(shop, journal)
    assert KeptDenial.objects.get().purpose == "surveys"
    define_purpose("surveys", title="Surveys", lawful_basis="legitimate_interest")
    backfill_purposes(at(2000))
    assert not permission(subject_of(), "surveys").allowed
    assert not KeptDenial.objects.exists()


def test_lost_pause_holds(shop: Shop, journal: MemoryJournal, backup: Path) -> None:
    pause("ann", "service", method="email", actor="petra", reason="she disputes it", now=at(60))
    restored(backup, journal)
    decide(shop, journal)
    held = permission(subject_of())
    assert (held.allowed, held.paused) == (False, True)
    assert ConsentRecord.objects.get(decision="paused").method == "email"


def test_lost_erasure_refuses_every_purpose(shop: Shop, journal: MemoryJournal, backup: Path) -> None:
    Customer.objects.update(created_at=at())
    back_up(backup)
    record_erasure(lock_change_sequence(at(60)), [subject_of()])
    restored(backup, journal)
    plan = decide(shop, journal)
    assert [customer.customer_id for customer in plan.erased] == ["ann"]
    assert not any(p.allowed for p in permissions_of([subject_of()])[subject_of()].purposes.values())


def test_lost_consent_is_not_taken_over(shop: Shop, journal: MemoryJournal, backup: Path) -> None:
    shop.give("personalisation", when=60)
    restored(backup, journal)
    plan = decide(shop, journal)
    assert plan.consents == 1
    assert permission(subject_of(), "personalisation") is None


def test_gap_of_the_journal_has_to_be_accepted(shop: Shop, journal: MemoryJournal, backup: Path) -> None:
    append_due(journal)
    journal.first = len(journal.records)
    with pytest.raises(JournalGap, match="have expired"):
        find_losses(journal, shop.store)
    assert find_losses(journal, shop.store, accept_gap=True).journal_topic[1] == journal.first


def test_journal_made_anew_gets_the_changes_again(shop: Shop, journal: MemoryJournal, backup: Path) -> None:
    JournalCheckpoint.objects.create(pk=1, topic=journal.name, offset=100)
    assert not PermissionChange.objects.filter(journaled_at=None).exists()
    losses = find_losses(journal, shop.store, accept_gap=True)
    assert losses.journal_is_incomplete
    take_over(losses, journal, "petra", now=at(60))
    journal.records.clear()
    append_due(journal)
    assert len(journal.records) == 2


def test_command_shows_then_applies(
    shop: Shop, journal: MemoryJournal, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(take_over_denials, "configured_journal", lambda: journal)
    monkeypatch.setattr(configured, "store_at", lambda *_: shop.store)
    out = io.StringIO()
    shop.withdraw(when=60, method="chat", actor="bot")
    restored(backup, journal)
    call_command("take_over_denials", "--list", stdout=out)
    assert "1 denials of customers: service refused 1" in out.getvalue()
    assert f"{subject_of()} service withdrawn at {at(60).isoformat(timespec='milliseconds')} by bot" in out.getvalue()
    assert "Nothing was changed" in out.getvalue()
    assert permission(subject_of()).allowed
    call_command("take_over_denials", "--apply", "--by", "petra", stdout=out)
    assert "Taken over" in out.getvalue()
    assert not permission(subject_of()).allowed
    again = io.StringIO()
    call_command("take_over_denials", stdout=again)
    assert "There is nothing to take over" in again.getvalue()


def test_command_opens_a_latch_of_the_store_alone(
    shop: Shop, journal: MemoryJournal, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(take_over_denials, "configured_journal", lambda: journal)
    monkeypatch.setattr(configured, "store_at", lambda *_: shop.store)
    shop.store.latch(5_000_000_000)
    call_command("take_over_denials", "--apply", stdout=io.StringIO())
    assert ChangeSequence.objects.get().epoch == 5_000_000_001


def test_command_without_kafka_names_the_way_out(
    shop: Shop, journal: MemoryJournal, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(take_over_denials, "configured_journal", lambda: journal)
    monkeypatch.setattr(configured, "store_at", lambda *_: shop.store)
    journal.available = False
    with pytest.raises(CommandError, match="--without journal"):
        call_command("take_over_denials")


def test_decision_that_is_made_meanwhile_is_no_loss(
    shop: Shop, journal: MemoryJournal, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = shop.store.read

    def read(*arguments: Any) -> ReadResult:
        monkeypatch.setattr(shop.store, "read", original)
        assert shop.withdraw(when=60).effective
        return original(*arguments)

    monkeypatch.setattr(shop.store, "read", read)
    assert find_losses(journal, shop.store).records == {}


def test_losses_are_empty_without_a_loss(shop: Shop, journal: MemoryJournal, backup: Path) -> None:
    losses: Losses = find_losses(journal, shop.store)
    assert (losses.records, losses.first, losses.unknown) == ({}, 0, set())


def test_journal_made_anew_is_a_gap_however_long_it_is(shop: Shop, journal: MemoryJournal, backup: Path) -> None:
    token = PermissionChange.objects.get(sequence=2).token
    JournalCheckpoint.objects.create(pk=1, topic=journal.name, topic_id="one", offset=2, last_token=token)
    back_up(backup)
    journal.records.clear()
    journal.id = "another"
    for n in range(3):
        shop.register(f"c{n}", when=50)
    shop.withdraw(when=60)
    restored(backup, journal)
    with pytest.raises(JournalGap, match="made anew"):
        find_losses(journal, None)
    losses = find_losses(journal, None, accept_gap=True)
    assert [len(history) for history in losses.records.values()] == [1] * 4
    take_over(losses, journal, "petra", now=at(1000))
    assert not permission(subject_of()).allowed, "what the new topic holds is taken over"
    checkpoint = JournalCheckpoint.objects.get()
    assert (checkpoint.topic_id, checkpoint.offset) == ("another", 4)
    assert append_due(journal) == PermissionChange.objects.count(), "it holds again what the database knows"


@pytest.mark.parametrize("registered", ["before the loss", "after the loss"])
def test_old_yes_does_not_overtake_a_no_that_a_lost_expiry_hides(
    shop: Shop, journal: MemoryJournal, backup: Path, registered: str
) -> None:
    who = "ann" if registered == "before the loss" else "bob"
    if who == "bob":
        shop.register(who, when=50)
        shop.give(customer_id=who, when=51)
    shop.withdraw(when=60, customer_id=who)
    shop.give(when=70, until=at(100), customer_id=who)
    expire_due(at(120))
    restored(backup, journal)
    decide(shop, journal)
    if who == "bob":
        shop.register(who, when=1050)
    late = shop.give(when=1100, decided_at=at(55), customer_id=who)
    assert late.record.superseded
    assert not permission(subject_of(who)).allowed
    assert shop.give(when=1200, customer_id=who).record.superseded is False


def test_old_yes_of_after_the_restore_ends_by_the_no_that_a_lost_expiry_hides(
    shop: Shop, journal: MemoryJournal, backup: Path
) -> None:
    shop.withdraw(when=60)
    shop.give(when=70, until=at(100))
    expire_due(at(120))
    restored(backup, journal)
    shop.withdraw(when=200, decided_at=at(40))
    shop.give(when=201, decided_at=at(50))
    assert permission(subject_of()).allowed
    decide(shop, journal)
    assert not permission(subject_of()).allowed
