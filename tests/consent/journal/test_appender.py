"""Appender: every change with its states and its evidence, in order, once the journal can be reached."""

from datetime import timedelta

import pytest

from featurestore.clock import database_now
from featurestore.consent import tasks
from featurestore.consent.change_sequence import lock_change_sequence
from featurestore.consent.journal.appender import append_due
from featurestore.consent.journal.records import Evidence, JournaledState
from featurestore.consent.models import ConsentRecord, PermissionChange
from featurestore.consent.services import record_erasure
from tests.kit.clock import at, ms
from tests.kit.journal import MemoryJournal
from tests.kit.shop import Shop

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_each_change_is_appended_once_with_its_evidence(shop: Shop, journal: MemoryJournal) -> None:
    ann = shop.register().customer.subject
    given = shop.give(when=5).sequence
    withdrawn = shop.withdraw(when=60, reason="she wrote to us about her neighbour").sequence
    assert append_due(journal) == 3
    assert append_due(journal) == 0
    records = journal.decoded()
    assert [record.sequence for record in records] == [given - 1, given, withdrawn]
    assert {record.subject for record in records} == {ann}
    assert {record.token for record in records} == set(PermissionChange.objects.values_list("token", flat=True))
    assert records[1].evidence == [
        Evidence("service", "given", ms(at(5)), ms(at(6)), 0, "web", "shop", "privacy/1/en", decided_ms=ms(at(5))),
    ]
    assert records[2].evidence == [
        Evidence("service", "withdrawn", ms(at(60)), ms(at(60)), 0, "web", "shop", decided_ms=ms(at(60)))
    ]
    assert records[2].states["service"] == JournaledState(False, False, given, ms(at(6)), 0, ms(at(60)))
    assert records[2].states["analytics"].allowed


def test_journal_holds_no_identifier_and_no_free_text(shop: Shop, journal: MemoryJournal) -> None:
    shop.register("ann@example.org")
    shop.withdraw("analytics", customer_id="ann@example.org", reason="she wrote about her neighbour")
    append_due(journal)
    everything = b"".join(journal.records)
    assert b"ann" not in everything
    assert b"neighbour" not in everything


def test_change_is_journaled_after_the_journal_was_away(shop: Shop, journal: MemoryJournal) -> None:
    shop.register()
    journal.available = False
    assert append_due(journal) == 0
    assert PermissionChange.objects.filter(journaled_at=None).count() == 1
    journal.available = True
    assert append_due(journal) == 1
    assert not PermissionChange.objects.filter(journaled_at=None).exists()


def test_relay_appends_only_what_waits(shop: Shop, journal: MemoryJournal) -> None:
    shop.register(when=0)
    PermissionChange.objects.update(created_at=database_now() - timedelta(seconds=4))
    assert append_due(journal, waiting=timedelta(seconds=5)) == 0
    PermissionChange.objects.update(created_at=database_now() - timedelta(seconds=6))
    assert append_due(journal, waiting=timedelta(seconds=5)) == 1


def test_relay_appends_while_the_store_verifier_is_away(
    shop: Shop, journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.topic, "configured_journal", lambda: journal)
    shop.register(when=0)
    PermissionChange.objects.update(created_at=database_now())
    tasks.relay_changes()
    assert journal.records == []
    PermissionChange.objects.update(created_at=database_now() - tasks.JOURNAL_DELAY)
    tasks.relay_changes()
    assert len(journal.records) == 1


def test_erasure_is_a_record_without_states(shop: Shop, journal: MemoryJournal) -> None:
    ann = shop.register().customer
    versions = record_erasure(lock_change_sequence(at(9)), [ann.subject])
    assert ConsentRecord.objects.count() == 0
    append_due(journal)
    erasure = journal.decoded()[-1]
    assert (erasure.kind, erasure.subject, erasure.states) == ("erasure", ann.subject, {})
    assert erasure.sequence == versions[ann.subject]
