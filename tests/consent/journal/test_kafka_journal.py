"""The journal in a real Kafka: in order, within time limits, with a remedy where it can't be read."""

import threading
import time

import pytest

from devservers.waiting import eventually
from featurestore.consent.journal import clock_comparison, topic
from featurestore.consent.journal.clock_comparison import ClockUnreadable, KafkaClocks
from featurestore.consent.journal.comparison import STEP_S, JournalComparer
from featurestore.consent.journal.records import JournaledState, JournalRecord
from featurestore.consent.journal.topic import JournalUnreadable, KafkaJournal
from featurestore.consent.management.commands.verify_store import repeat
from featurestore.consent.models import PermissionChange
from featurestore.profiles.services import register
from featurestore.servers.kafka import KafkaCluster
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import Run
from tests.consent.journal.servers import new_topic


def record(number: int) -> JournalRecord:
    states = {"service": JournaledState(allowed=True, paused=False, grant_id=number, since_ms=1)}
    return JournalRecord("change", 1000 + number, 1, number, 5, f"{number:032x}", states)


def test_records_are_read_in_order(kafka: str) -> None:
    journal = KafkaJournal(KafkaCluster(kafka), new_topic(kafka))
    records = [record(number) for number in range(1, 1201)]
    assert journal.bounds() == range(0)
    assert journal.topic_id() not in ("", KafkaJournal(KafkaCluster(kafka), new_topic(kafka)).topic_id())
    for start in range(0, 1200, 400):
        assert journal.append(records[start : start + 400]) == {}
    assert journal.bounds() == range(1200)
    found = [entry for entries in journal.read(range(1200)) for entry in entries]
    assert [entry.offset for entry in found] == list(range(1200))
    assert [entry.record for entry in found] == records
    assert [entry.offset for entries in journal.read(range(700, 703)) for entry in entries] == [700, 701, 702]


def test_missing_topic_names_the_command_that_makes_it(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic, "DELIVERY_TIMEOUT_MS", 1_000)
    journal = KafkaJournal(KafkaCluster(kafka), "consent.journal.missing")
    with pytest.raises(JournalUnreadable, match="python -m streams topics apply"):
        journal.bounds()
    assert journal.topic_id() == ""
    assert journal.append([record(1)]).keys() == {1001}


def test_unreachable_broker_fails_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic, "DELIVERY_TIMEOUT_MS", 1_000)
    monkeypatch.setattr(topic, "TIMEOUT_S", 1)
    journal, began = KafkaJournal(KafkaCluster("127.0.0.1:1"), "consent.journal"), time.monotonic()
    assert journal.append([record(1)]).keys() == {1001}
    with pytest.raises(JournalUnreadable, match=r"127\.0\.0\.1:1 does not answer"):
        journal.bounds()
    with pytest.raises(JournalUnreadable, match=r"127\.0\.0\.1:1"):
        journal.topic_id()
    assert time.monotonic() - began < 15


def test_read_ends_with_the_last_record_that_is_asked_for(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic, "TIMEOUT_S", 60.0)
    journal, began_s = KafkaJournal(KafkaCluster(kafka), new_topic(kafka)), time.monotonic()
    assert journal.append([record(1), record(2), record(3)]) == {}
    assert [[entry.offset for entry in entries] for entries in journal.read(range(1, 2))] == [[1]]
    assert time.monotonic() - began_s < 30


def test_brokers_clock_is_the_append_time(kafka: str) -> None:
    clocks = KafkaClocks(KafkaCluster(kafka), new_topic(kafka, **{"message.timestamp.type": "LogAppendTime"}))
    before_ms = time.time_ns() // 1_000_000
    assert before_ms <= clocks.now_ms(0) <= time.time_ns() // 1_000_000


def test_clock_of_a_sender_does_not_pass_for_the_brokers(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_comparison, "TIMEOUT_S", 1.0)
    with pytest.raises(ClockUnreadable, match="topics apply"):
        KafkaClocks(KafkaCluster(kafka), new_topic(kafka)).now_ms(0)
    with pytest.raises(ClockUnreadable, match=r"127\.0\.0\.1:1"):
        KafkaClocks(KafkaCluster("127.0.0.1:1"), "rapport.clock.g1").now_ms(0)


def test_record_of_another_program_is_named(kafka: str) -> None:
    journal = KafkaJournal(KafkaCluster(kafka), new_topic(kafka))
    journal._producer.produce(journal.name, b"no journal record", partition=0)
    journal._producer.flush(10)
    with pytest.raises(JournalUnreadable, match=r"offset 0 .* is no record of the journal"):
        list(journal.read(journal.bounds()))


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_change_is_journaled_about_a_second_after_its_commit(database: str, kafka: str, store: MemoryStore) -> None:
    comparer, stop = JournalComparer(KafkaJournal(KafkaCluster(kafka), new_topic(kafka))), threading.Event()
    thread = threading.Thread(target=repeat, args=[stop, comparer.step, STEP_S])
    thread.start()
    try:
        register("first", "eu", "acme")
        unjournaled = PermissionChange.objects.filter(journaled_at=None)
        eventually(lambda: not unjournaled.exists(), "the first change is journaled")
        register("ann", "eu", "acme")
        eventually(lambda: not unjournaled.exists(), "it is journaled")
        newest = PermissionChange.objects.order_by("-sequence")[0]
        assert newest.journaled_at
        assert (newest.journaled_at - newest.created_at).total_seconds() < 5, "a second, on a machine that is not busy"
        eventually(lambda: not comparer.is_ahead(Run("one", "1")), "it is compared")
    finally:
        stop.set()
        thread.join()
