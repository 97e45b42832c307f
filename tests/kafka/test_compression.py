"""Records that their producer, or the broker, has compressed: every consumer reads them, whatever the codec.

The topics recompress, because a producer sends a small batch as it is.
"""

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from featurestore import names
from featurestore.consent.journal.records import JournalRecord
from featurestore.consent.journal.topic import KafkaJournal
from featurestore.ingest.dead_letter_topic import DeadLetterTopic
from featurestore.servers.kafka import KafkaCluster
from tests.consent.journal.servers import new_topic
from tests.kafka.test_recovery import MakeHarness

CODECS = ("gzip", "snappy", "lz4", "zstd")


def compress(kafka: str, codecs: dict[str, str]) -> None:
    """Let the broker compress what it appends to these topics."""
    resources = []
    for topic, codec in codecs.items():
        entry = ConfigEntry("compression.type", codec, incremental_operation=AlterConfigOpType.SET)
        resources.append(ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry]))
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    for altered in admin.incremental_alter_configs(resources).values():
        altered.result(20)


@pytest.mark.timeout(300)
def test_stream_workers_fold_and_recover_records_of_every_codec(make_harness: MakeHarness) -> None:
    harness = make_harness(sources=CODECS)
    topics = {kind(codec, harness.generation): codec for codec in CODECS for kind in (names.events, names.changelog)}
    compress(harness.bootstrap, topics)
    for codec in CODECS:
        harness.produce(200, codec)
    first = harness.worker("one").wait_ready()
    for codec in CODECS:
        harness.wait_exact(codec)
    first.kill()
    harness.worker("one").wait_ready()  # its tables were in memory
    for codec in CODECS:
        harness.produce(200, codec)
        harness.wait_exact(codec)


@pytest.mark.parametrize("codec", CODECS)
def test_the_journal_and_dead_letters_are_read_whatever_the_codec(kafka: str, codec: str) -> None:
    topic = new_topic(kafka, **{"compression.type": codec})
    journal = KafkaJournal(KafkaCluster(kafka), topic)
    records = [JournalRecord("change", number, 1, number, 5, f"{number:032x}") for number in range(1, 101)]
    assert journal.append(records) == {}
    assert [entry.record for entries in journal.read(range(100)) for entry in entries] == records

    topic = new_topic(kafka, **{"compression.type": codec})
    producer = Producer({"bootstrap.servers": kafka, "log_level": 0})
    for number in range(100):
        producer.produce(topic, f"poison {number}", partition=0)
    producer.flush()
    dead_letters = DeadLetterTopic(KafkaCluster(kafka))
    try:
        found = [record.value for record in dead_letters.read(topic, 0, range(100))]
    finally:
        dead_letters.close()
    assert found == [f"poison {number}".encode() for number in range(100)]
