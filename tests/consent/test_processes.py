"""Processes of consent: purges on a real broker, scheduled tasks, the command that raises the epoch."""

import json
import time

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from adminsite.celery import SCHEDULE, app
from featurestore.audit.models import AuditRun
from featurestore.consent import tasks
from featurestore.consent.outbox import purge_producer
from featurestore.consent.outbox.purge_producer import KafkaPurgeProducer, Purge
from featurestore.consent.outbox.relay import RelayResult
from featurestore.identity import partition_of
from featurestore.ingest import dead_letter_topic
from featurestore.servers.kafka import KafkaCluster
from tests.kit.shop import Shop


def test_scheduled_tasks_exist() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in SCHEDULE.values()} <= app.tasks.keys()
    assert {"consent.relay", "consent.expire", "audit.audit"} <= SCHEDULE.keys()
    assert SCHEDULE["consent.relay"]["schedule"] == 1.0


def test_tasks_run_twice_without_harm(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter_topic, "TIMEOUT_S", 0.1)  # no Kafka answers
    app.loader.import_default_modules()
    shop.register()
    shop.give()
    for _ in range(2):
        for entry in SCHEDULE.values():
            app.tasks[entry["task"]].apply().get()
    assert AuditRun.objects.count() == 2
    assert not AuditRun.objects.exclude(found=0, error="").exists()


def test_task_returns_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    monkeypatch.setattr(tasks.relay, "relay_due", lambda: called.append(1) or RelayResult(0, 0, 0))
    tasks.relay_changes.apply()
    assert called == [1]


def test_purge_is_sent_to_the_subjects_partition(kafka: str) -> None:
    generation, partitions = 41, 4
    topic, admin = (
        KafkaPurgeProducer(KafkaCluster(kafka), generation, partitions),
        AdminClient({"bootstrap.servers": kafka}),
    )
    for created in admin.create_topics([NewTopic(f"consent.purge.g{generation}", partitions)]).values():
        created.result(30)
    purges = [Purge(f"{n * 1_234_567_891:032x}"[::-1], n) for n in range(1, 19)]
    purges += [Purge("a" * 32, 0), Purge("b" * 32, 0)]  # of subjects without a version
    assert topic.send([*purges, purges[-1]]) == {}
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic.topic, n, 0) for n in range(partitions)])
    messages = []
    while len(messages) < 20:
        messages += consumer.consume(20, timeout=10)
    consumer.close()
    assert {(message.partition(), (message.key() or b"").decode(), message.value() or b"") for message in messages} == {
        (
            partition_of(purge.subject, partitions),
            purge.subject,
            json.dumps({"subject": purge.subject, "sequence": purge.sequence}).encode(),
        )
        for purge in purges
    }
    assert len({message.partition() for message in messages}) > 1


@pytest.fixture
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purge_producer, "DELIVERY_TIMEOUT_MS", 1_000)


@pytest.mark.usefixtures("short_timeout")
def test_purges_to_a_missing_topic_fail_in_time(kafka: str) -> None:
    began = time.monotonic()
    purges = [Purge("a" * 32, 1), Purge("b" * 32, 2), Purge("c" * 32, 0), Purge("d" * 32, 0)]
    assert KafkaPurgeProducer(KafkaCluster(kafka), 99, 4).send(purges).keys() == set(purges)
    assert time.monotonic() - began < 20


@pytest.mark.usefixtures("short_timeout")
def test_purges_to_an_unreachable_broker_fail_in_time() -> None:
    began = time.monotonic()
    purge = Purge("a" * 32, 1)
    assert KafkaPurgeProducer(KafkaCluster("127.0.0.1:1"), 1, 4).send([purge]).keys() == {purge}
    assert time.monotonic() - began < 10
