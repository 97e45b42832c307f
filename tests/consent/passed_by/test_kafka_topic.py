"""The topic of passed-by subjects in a real Kafka: compacted, read over gaps and to its end, within time limits."""

import itertools
import time

import pytest
from confluent_kafka.admin import AdminClient

from devservers.waiting import eventually
from featurestore.config import Settings
from featurestore.consent.passed_by import topic as topic_module
from featurestore.consent.passed_by.topic import KafkaPassedByTopic, TopicUnreadable
from featurestore.passed_by import key_of
from featurestore.servers.kafka import KafkaCluster
from streams import topics
from tests.kafka.worker_harness import generations

SUBJECTS = [f"{number:032x}" for number in range(1000)]
KEYS = [key_of(subject, "a") for subject in SUBJECTS]


@pytest.fixture
def conf(kafka: str) -> Settings:
    """Settings of an installation without sources, whose topics are made."""
    number = next(generations)
    made = Settings(
        kafka_bootstrap=kafka,
        generation=number,
        partitions=1,
        journal_topic="",
        passed_by_topic=f"rapport.passed-by.{number}",
    )
    topics.apply(made, [])
    return made


@pytest.fixture
def topic(conf: Settings) -> KafkaPassedByTopic:
    made = KafkaPassedByTopic(KafkaCluster(conf.kafka_bootstrap), conf.passed_by_topic)
    eventually(lambda: has_leader(made), "a topic that was just made has a leader")
    return made


def has_leader(topic: KafkaPassedByTopic) -> bool:
    try:
        topic.bounds()
    except TopicUnreadable:
        return False
    return True


def test_topics_apply_makes_it_and_a_next_generation_keeps_it(conf: Settings) -> None:
    assert topics.plan(conf, []).lines() == []
    later = conf.model_copy(update={"generation": next(generations), "partitions": 3})
    assert conf.passed_by_topic not in {topic.name for topic in topics.plan(later, []).create}
    with pytest.raises(topics.TopicsError, match=f"{conf.passed_by_topic}.* is missing"):
        topics.check(conf.model_copy(update={"passed_by_topic": f"{conf.passed_by_topic}.other"}), [])


def test_entries_and_tombstones_are_read_in_order_from_any_offset(topic: KafkaPassedByTopic) -> None:
    assert topic.bounds() == range(0)
    assert list(topic.read(topic.bounds())) == []
    began_ms = time.time_ns() // 1_000_000
    topic.write(KEYS)
    topic.remove(KEYS[:2])
    assert topic.bounds() == range(1002)
    records = list(topic.read(topic.bounds()))
    assert [record.offset for record in records] == list(range(1002))
    assert [record.key for record in records] == [*KEYS, *KEYS[:2]]
    assert [record.removed for record in records] == [False] * 1000 + [True] * 2
    assert all(abs(record.at_ms - began_ms) < 60_000 for record in records)
    assert [record.offset for record in topic.read(range(998, 1001))] == [998, 999, 1000]


def test_end_that_was_compacted_away_ends_the_read(topic: KafkaPassedByTopic) -> None:
    topic.write(KEYS[:3])
    assert [record.offset for record in topic.read(range(1, 50))] == [1, 2], "nothing comes after them"


def test_topic_made_anew_has_another_id(topic: KafkaPassedByTopic, conf: Settings) -> None:
    before = topic.topic_id()
    admin = AdminClient({"bootstrap.servers": conf.kafka_bootstrap})
    for deleted in admin.delete_topics([conf.passed_by_topic]).values():
        deleted.result(30)

    def is_told() -> bool:
        with pytest.raises(TopicUnreadable) as told:
            topic.bounds()
        return "python -m streams topics apply" in str(told.value)

    eventually(lambda: conf.passed_by_topic not in admin.list_topics(timeout=10).topics, "it is deleted")
    eventually(is_told, "the command that makes it is told", 30)
    topics.apply(conf, [])
    assert topic.topic_id() not in ("", before)


def test_unreachable_broker_fails_in_time_and_asks_whether_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_module, "DELIVERY_TIMEOUT_MS", 1_000)
    monkeypatch.setattr(topic_module, "TIMEOUT_S", 1.0)
    topic, asked = KafkaPassedByTopic(KafkaCluster("127.0.0.1:1"), "rapport.passed-by"), list[int]()
    with pytest.raises(TopicUnreadable, match=r"127\.0\.0\.1:1"):
        topic.bounds(lambda: asked.append(1) is None)
    assert asked
    with pytest.raises(TopicUnreadable, match="not read to its end"):
        topic.bounds(lambda: False)
    for call in (topic.topic_id, lambda: topic.write(KEYS[:1]), lambda: topic.remove(KEYS[:1])):
        with pytest.raises(TopicUnreadable, match=r"127\.0\.0\.1:1"):
            call()


def test_long_read_ends_where_it_may_not_go_on(topic: KafkaPassedByTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    topic.write(KEYS)
    bounds, asked = topic.bounds(), itertools.count()
    monkeypatch.setattr(topic_module, "WAIT_S", 0.0)
    with pytest.raises(TopicUnreadable, match="not read to its end"):
        list(topic.read(bounds, lambda: next(asked) < 3))
