"""State tables of subjects that the database does not know: a purge of each reaches the streams."""

import json

import pytest
from confluent_kafka import Consumer, TopicPartition

from featurestore.config import settings
from featurestore.consent.models import SubjectVersion
from featurestore.consent.outbox import purge_producer
from featurestore.consent.outbox.purge_producer import KafkaPurgeProducer
from featurestore.ingest.locations.state_tables import StateTableLocation
from featurestore.locations import Person
from featurestore.servers.kafka import kafka_cluster
from featurestore.tiles.state_record import StateRecord
from tests.locations.written_facts import PARTITIONS, Servers, changelog

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
SUBJECTS = tuple(f"{number:08x}" + "ab" * 12 for number in (1, 2, 2**31))


def test_several_subjects_without_a_version_are_purged_at_once(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = settings()
    producer = KafkaPurgeProducer(kafka_cluster(conf), conf.generation, PARTITIONS)
    monkeypatch.setattr(purge_producer, "purge_producer", lambda: producer)
    for subject in SUBJECTS:
        servers.produce(changelog(), subject, StateRecord(offset=1).encode())
    assert not SubjectVersion.objects.filter(subject__in=SUBJECTS).exists()
    assert StateTableLocation().erase(Person(subjects=SUBJECTS), None, 100).kept == len(SUBJECTS)
    consumer = Consumer({"bootstrap.servers": conf.kafka_bootstrap, "group.id": "test", "log_level": 0})
    consumer.assign([TopicPartition(producer.topic, n, 0) for n in range(PARTITIONS)])
    sent = []
    while len(sent) < len(SUBJECTS):
        messages = consumer.consume(1, timeout=30)
        assert messages
        sent += [json.loads(message.value() or b"") for message in messages]
    consumer.close()
    assert sorted(one["subject"] for one in sent) == sorted(SUBJECTS)
    assert {one["sequence"] for one in sent} == {0}
