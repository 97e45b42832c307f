"""Recovery on a real Kafka: what a restarted worker reads, and where it goes on."""

import re
from collections.abc import Callable
from time import time

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from devservers.waiting import eventually
from featurestore import names
from tests.kafka.worker_harness import WorkerHarness, WorkerProcess

MakeHarness = Callable[..., WorkerHarness]


def committed_offsets_are(harness: WorkerHarness, offsets: int) -> bool:
    """Whether so many events are committed by the group."""
    group = ConsumerGroupTopicPartitions(names.group(harness.generation))
    admin = AdminClient({"bootstrap.servers": harness.bootstrap, "log_level": 0})
    (committed,) = admin.list_consumer_group_offsets([group]).values()
    topic = names.events("orders", harness.generation)
    return sum(p.offset for p in committed.result(10).topic_partitions if p.topic == topic and p.offset > 0) == offsets


def test_restart_reads_only_the_changelog_that_its_tables_lack(make_harness: MakeHarness) -> None:
    harness = make_harness(tables="rocksdb")
    harness.produce(4_000)
    worker = harness.worker("one").wait_ready()
    harness.wait_exact()
    eventually(lambda: committed_offsets_are(harness, 4_000), "commits reach the end")
    worker.kill()

    restarted = harness.worker("one").wait_ready()
    # Faust reads the last record of each partition again.
    assert restarted.metric("rapport_stream_recovered_records_total") <= harness.partitions
    harness.produce(1_000)
    harness.wait_exact()
    handled = sum(int(last) - int(start) + 1 for _, _, start, last in restarted.printed("handled"))
    assert handled == 1_000
    eventually(
        lambda: committed_offsets_are(harness, 5_000), "commits reach the end"
    )  # a replay would write the changelog again
    restarted.kill()
    written = sum(1 for _ in harness.read(names.changelog("orders", harness.generation)))

    elsewhere = harness.worker("three").wait_ready()  # the same partitions, another folder
    purge = names.purge(harness.generation)
    eventually(lambda: len(elsewhere.assigned().get(purge, [])) == harness.partitions, "the killed worker's partitions")
    assert elsewhere.metric("rapport_stream_recovered_records_total") == written
    harness.produce(1_000)
    harness.wait_exact()


def recovering(worker: WorkerProcess) -> bool:
    ready, reasons = worker.ready()
    return not ready and any(re.match(r"recovering: [1-9]\d* changelog records to read", reason) for reason in reasons)


@pytest.mark.parametrize("tables", ["memory", "rocksdb"])
def test_tables_are_complete_after_a_disturbed_recovery(make_harness: MakeHarness, tables: str) -> None:
    """A worker is killed while it reads the changelog, and another joins while its successor reads on."""
    keys = 20_000
    harness = make_harness(tables=tables)
    harness.fill_changelog(keys)
    killed = harness.worker("one", COUNTING_RECOVERY_S="0.3")
    eventually(
        lambda: recovering(killed) and killed.metric("rapport_stream_recovered_records_total") > 0, "a part read"
    )
    assert killed.metric("rapport_stream_recovery_remaining_records") > 0
    killed.kill()
    first = harness.worker("one", COUNTING_RECOVERY_S="0.3")
    eventually(lambda: recovering(first), "the rest being read")
    second = harness.worker("two", COUNTING_RECOVERY_S="0.3")
    purge = names.purge(harness.generation)
    eventually(lambda: len(second.assigned().get(purge, [])) == harness.partitions // 2, "partitions of the second")
    first.wait_ready()
    second.wait_ready()
    assert second.metric("rapport_stream_recovery_remaining_records") == 0
    harness.produce_to(f"k{number}" for number in range(keys))  # a key that a table lacks would count 1, not 2
    harness.wait_exact()


def test_freshness_advances_for_idle_and_busy_partitions(make_harness: MakeHarness) -> None:
    harness = make_harness()
    worker = harness.worker("one").wait_ready()
    harness.produce(100, keys=1)  # one partition busy
    produced_ms = time() * 1000

    def fresh() -> bool:
        folded_to_ms = {(topic, partition): int(ms) for topic, partition, ms in worker.printed("fresh")}
        return len(folded_to_ms) == 2 * harness.partitions and min(folded_to_ms.values()) > produced_ms

    eventually(fresh, "freshness of events and purges past the last event", 20)


def test_invalid_event_is_a_dead_letter_with_its_offset(make_harness: MakeHarness) -> None:
    harness = make_harness()
    harness.worker("one").wait_ready()
    largest = b"junk" + b"." * 999_000  # with its headers it is larger than an event may be
    harness.produce_raw(largest, partition=2)
    harness.produce(100)
    harness.wait_exact()
    (dead_letter,) = harness.read(names.dead_letters(harness.generation))
    headers = {name: value.decode() for name, value in dead_letter.headers()}
    assert (dead_letter.key(), dead_letter.value(), dead_letter.partition()) == (b"raw", largest, 2)
    assert int(headers.pop("timestamp_ms")) == int(headers.pop("first_timestamp_ms")) > 0
    origin = {"topic": names.events("orders", harness.generation), "partition": "2", "offset": "0"}
    assert headers == {"reason": "malformed", "detail": "no number", **origin}
