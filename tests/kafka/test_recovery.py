"""A worker that comes back: what it reads, what it knows, where it goes on."""

import re
from collections.abc import Callable
from time import time

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from devservers.waiting import eventually
from featurestore import names
from tests.kafka.plant import Plant, Worker

Make = Callable[..., Plant]


def settled(it: Plant, offsets: int) -> bool:
    """Whether so many events are committed by the group."""
    group = ConsumerGroupTopicPartitions(names.group(it.generation))
    admin = AdminClient({"bootstrap.servers": it.bootstrap, "log_level": 0})
    (committed,) = admin.list_consumer_group_offsets([group]).values()
    topic = names.events("orders", it.generation)
    return sum(p.offset for p in committed.result(10).topic_partitions if p.topic == topic and p.offset > 0) == offsets


def test_a_restart_goes_on_from_commits_and_reads_the_changelog_as_its_tables_need(plant: Make) -> None:
    it = plant(tables="rocksdb")
    it.produce(4_000)
    worker = it.worker("one").wait_ready()
    it.wait_exact()
    eventually(lambda: settled(it, 4_000), "commits reach the end")
    worker.kill()

    kept = it.worker("one").wait_ready()
    assert kept.metric("rapport_stream_recovered_records_total") <= it.partitions  # Faust reads the last one again
    it.produce(1_000)
    it.wait_exact()
    handled = sum(int(last) - int(start) + 1 for _, _, start, last in kept.said("handled"))
    assert handled == 1_000
    eventually(lambda: settled(it, 5_000), "commits reach the end")  # a replay would write the changelog again
    kept.kill()

    elsewhere = it.worker("three").wait_ready()  # the same partitions, another folder
    purge = names.purge(it.generation)
    eventually(lambda: len(elsewhere.assigned().get(purge, [])) == it.partitions, "the killed worker's partitions")
    written = sum(1 for _ in it.read(names.changelog("orders", it.generation)))
    assert elsewhere.metric("rapport_stream_recovered_records_total") == written
    it.produce(1_000)
    it.wait_exact()


def recovering(worker: Worker) -> bool:
    ready, reasons = worker.ready()
    return not ready and any(re.match(r"recovering: [1-9]\d* changelog records to read", reason) for reason in reasons)


@pytest.mark.parametrize("tables", ["memory", "rocksdb"])
def test_tables_are_whole_though_the_recovery_was_disturbed(plant: Make, tables: str) -> None:
    """A worker is killed while it reads the changelog, and another joins while it reads on."""
    keys = 20_000
    it = plant(tables=tables)
    it.fill_changelog(keys)
    killed = it.worker("one", COUNTING_RECOVERY_S="0.3")
    eventually(
        lambda: recovering(killed) and killed.metric("rapport_stream_recovered_records_total") > 0, "a part read"
    )
    assert killed.metric("rapport_stream_recovery_remaining_records") > 0
    killed.kill()
    first = it.worker("one", COUNTING_RECOVERY_S="0.3")
    eventually(lambda: recovering(first), "the rest being read")
    second = it.worker("two", COUNTING_RECOVERY_S="0.3")
    purge = names.purge(it.generation)
    eventually(lambda: len(second.assigned().get(purge, [])) == it.partitions // 2, "partitions of the second")
    first.wait_ready()
    second.wait_ready()
    assert second.metric("rapport_stream_recovery_remaining_records") == 0
    it.produce_to(f"k{number}" for number in range(keys))  # a key that a table lacks would count 1, not 2
    it.wait_exact()


def test_idle_and_busy_partitions_are_known_to_be_whole(plant: Make) -> None:
    it = plant()
    worker = it.worker("one").wait_ready()
    it.produce(100, keys=1)  # one partition busy
    produced_ms = time() * 1000

    def whole() -> bool:
        until_ms = {(topic, partition): int(ms) for topic, partition, ms in worker.said("fresh")}
        return len(until_ms) == 2 * it.partitions and min(until_ms.values()) > produced_ms

    eventually(whole, "marks of events and purges past the last event", 20)


def test_what_cannot_be_folded_is_put_aside_with_its_place(plant: Make) -> None:
    it = plant()
    it.worker("one").wait_ready()
    largest = b"junk" + b"." * 999_000  # with its headers it is larger than an event may be
    it.produce_raw(largest, partition=2)
    it.produce(100)
    it.wait_exact()
    (letter,) = it.read(names.dead_letters(it.generation))
    headers = {name: value.decode() for name, value in letter.headers()}
    assert (letter.key(), letter.value(), letter.partition()) == (b"raw", largest, 2)
    assert int(headers.pop("timestamp_ms")) > 0
    place = {"topic": names.events("orders", it.generation), "partition": "2", "offset": "0"}
    assert headers == {"reason": "malformed", "detail": "no number", **place}
