"""Comparison: a database that lacks what the journal holds, or what this process saw in it, is noticed."""

from pathlib import Path

import pytest

from featurestore.consent.journal.comparison import CHECKPOINT_S, READABLE_S, JournalComparer
from featurestore.consent.models import ChangeSequence, JournalCheckpoint, PermissionChange
from featurestore.consent.services import raise_epoch
from featurestore.consent.vouching.journal_comparison import JournalUnavailable
from featurestore.store.protocol import Run
from tests.kit.backups import back_up, restore
from tests.kit.clock import Clock, at
from tests.kit.journal import MemoryJournal
from tests.kit.shop import Shop

RUN, OTHER = Run("one", "1"), Run("two", "2")

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def compared(shop: Shop, comparer: JournalComparer) -> JournalComparer:
    """A comparison that found a database with one customer complete."""
    shop.register()
    comparer.step()
    assert not comparer.is_ahead(RUN)
    return comparer


def test_database_is_compared_before_anything_is_vouched_for(shop: Shop, comparer: JournalComparer) -> None:
    with pytest.raises(JournalUnavailable, match="not read yet"):
        comparer.is_ahead(RUN)
    comparer.step()
    assert not comparer.is_ahead(RUN)


def test_new_changes_are_appended_and_compared(shop: Shop, compared: JournalComparer, journal: MemoryJournal) -> None:
    shop.give(when=5)
    shop.withdraw(when=6)
    compared.step()
    assert len(journal.records) == 3
    assert not compared.is_ahead(RUN)


def test_lost_change_is_noticed_by_the_process_that_saw_it(
    shop: Shop, compared: JournalComparer, journal: MemoryJournal, tmp_path: Path
) -> None:
    back_up(tmp_path / "backup")
    journal.available = False
    shop.withdraw("analytics", when=5)
    assert not compared.is_ahead(RUN)
    restore(tmp_path / "backup")
    assert compared.is_ahead(RUN)
    assert "does not hold change" in compared.loss


def test_lost_change_is_noticed_by_a_new_process(
    shop: Shop, compared: JournalComparer, journal: MemoryJournal, clock: Clock, tmp_path: Path
) -> None:
    back_up(tmp_path / "backup")
    lost = shop.withdraw("analytics", when=5).sequence
    compared.step()
    restore(tmp_path / "backup")
    started = JournalComparer(journal, clock)
    started.step()
    assert started.is_ahead(RUN)
    assert f"lacks change 1/{lost}" in started.loss


def test_lost_change_is_noticed_after_the_numbers_have_met(
    shop: Shop, compared: JournalComparer, journal: MemoryJournal, clock: Clock, tmp_path: Path
) -> None:
    back_up(tmp_path / "backup")
    shop.withdraw("analytics", when=5)
    compared.step()
    restore(tmp_path / "backup")
    shop.register("bob", when=6)
    shop.register("cem", when=7)
    started = JournalComparer(journal, clock)
    started.step()
    assert started.is_ahead(RUN)


def test_loss_stays_noticed_when_the_lost_number_is_issued_again(
    shop: Shop, compared: JournalComparer, tmp_path: Path
) -> None:
    back_up(tmp_path / "backup")
    shop.withdraw("analytics", when=5)
    compared.step()
    restore(tmp_path / "backup")
    shop.register("bob", when=6)
    assert compared.is_ahead(RUN)
    shop.register("cem", when=7)
    assert compared.is_ahead(RUN)


def test_new_database_beside_an_old_journal_is_noticed(
    shop: Shop, compared: JournalComparer, journal: MemoryJournal, clock: Clock, tmp_path: Path
) -> None:
    compared.step()
    ChangeSequence.objects.update(epoch=2_000_000_000)  # as of a database that was created later
    for record in journal.decoded():
        assert record.epoch < 2_000_000_000
    JournalCheckpoint.objects.all().delete()
    journal.records = [raw.replace(b'"token":', b'"token":1') for raw in journal.records]  # it knows none of them
    started = JournalComparer(journal, clock)
    started.step()
    assert started.is_ahead(RUN)


def test_checkpoint_moves_every_ten_seconds(
    shop: Shop, compared: JournalComparer, journal: MemoryJournal, clock: Clock
) -> None:
    first = JournalCheckpoint.objects.get().offset
    shop.give(when=5)
    compared.step()
    assert JournalCheckpoint.objects.get().offset == first
    clock.pass_s(CHECKPOINT_S)
    compared.step()
    assert JournalCheckpoint.objects.get().offset == len(journal.records)


def test_known_run_and_database_stay_compared_while_the_journal_is_away(
    shop: Shop, compared: JournalComparer, journal: MemoryJournal, clock: Clock
) -> None:
    journal.available = False
    clock.pass_s(READABLE_S + 600)
    compared.step()
    shop.give(when=5)
    assert not compared.is_ahead(RUN)
    with pytest.raises(JournalUnavailable, match="this run was not compared"):
        compared.is_ahead(OTHER)
    journal.available = True
    compared.step()
    assert not compared.is_ahead(OTHER)


def test_new_process_vouches_for_nothing_while_the_journal_is_away(
    shop: Shop, compared: JournalComparer, journal: MemoryJournal, clock: Clock
) -> None:
    journal.available = False
    started = JournalComparer(journal, clock)
    started.step()
    with pytest.raises(JournalUnavailable, match="broker unavailable"):
        started.is_ahead(RUN)


def test_journal_that_was_made_anew_counts_as_unreadable(
    shop: Shop, compared: JournalComparer, journal: MemoryJournal, clock: Clock
) -> None:
    clock.pass_s(CHECKPOINT_S)
    compared.step()
    journal.records.clear()
    started = JournalComparer(journal, clock)
    started.step()
    with pytest.raises(JournalUnavailable, match="made anew"):
        started.is_ahead(RUN)


def test_backup_older_than_the_journal_is_a_loss(
    shop: Shop, compared: JournalComparer, journal: MemoryJournal, clock: Clock
) -> None:
    journal.first = 100
    started = JournalComparer(journal, clock)
    started.step()
    assert started.is_ahead(RUN)
    assert "older than the first record" in started.loss


def test_raised_epoch_is_compared_anew(shop: Shop, compared: JournalComparer, tmp_path: Path) -> None:
    back_up(tmp_path / "backup")
    shop.withdraw("analytics", when=5)
    assert not compared.is_ahead(RUN)
    restore(tmp_path / "backup")
    assert compared.is_ahead(RUN)
    raise_epoch(at(10))
    compared.step()
    assert not compared.is_ahead(RUN)  # nobody appended what was lost


def test_without_a_journal_what_the_process_saw_is_compared(shop: Shop, clock: Clock, tmp_path: Path) -> None:
    comparer = JournalComparer(None, clock)
    shop.register()
    back_up(tmp_path / "backup")
    shop.withdraw("analytics", when=5)
    assert not comparer.is_ahead(RUN)
    restore(tmp_path / "backup")
    assert comparer.is_ahead(RUN)


@pytest.mark.parametrize("told_by", ["its id", "its last compared record"])
def test_journal_made_anew_and_grown_past_the_compared_offset_is_noticed(
    shop: Shop, compared: JournalComparer, journal: MemoryJournal, clock: Clock, told_by: str
) -> None:
    clock.pass_s(CHECKPOINT_S)
    compared.step()
    before = JournalCheckpoint.objects.get()
    assert (before.topic_id, before.last_token) == ("one", PermissionChange.objects.last().token)
    journal.records.clear()
    journal.id = "another" if told_by == "its id" else ""
    for n in range(before.offset + 2):
        shop.register(f"c{n}", when=70 + n)
    for process in (compared, JournalComparer(journal, clock)):
        process.step()
        clock.pass_s(CHECKPOINT_S + 1)
        process.step()
        with pytest.raises(JournalUnavailable, match="made anew"):
            process.is_ahead(Run("new", "1"))
    assert JournalCheckpoint.objects.get().offset == before.offset
