"""Topics as code, against a real cluster."""

from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource

from featurestore import names
from streams import topics
from streams.lease import longest_ms
from tests.kafka.plant import Plant
from tests.waiting import eventually

Make = Callable[..., Plant]


def described(it: Plant, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": it.bootstrap, "log_level": 0})
    (future,) = admin.describe_configs([resource]).values()
    return {name: entry.value for name, entry in future.result(10).items()}


def test_what_was_applied_needs_no_more_steps(plant: Make) -> None:
    it = plant()
    assert topics.plan(it.conf(), it.sources).lines() == []
    config = described(it, names.changelog("orders", it.generation))
    assert config["cleanup.policy"] == "compact"
    assert config["message.timestamp.before.max.ms"] == str(longest_ms(it.conf()))


def test_a_new_source_and_a_changed_setting_are_steps(plant: Make) -> None:
    it = plant()
    later = it.conf().model_copy(update={"stream_session_ms": 6_000})
    steps = topics.plan(later, [*it.sources, "chat"])
    assert {topic.name for topic in steps.create} == {
        names.events("chat", it.generation),
        names.changelog("chat", it.generation),
    }
    changelog = names.changelog("orders", it.generation)
    assert steps.alter == {changelog: {"message.timestamp.before.max.ms": str(longest_ms(later))}}
    topics.apply(later, it.sources)
    eventually(lambda: topics.plan(later, it.sources).lines() == [], "the cluster as planned")


def test_other_partition_counts_are_refused_with_what_mends_them(plant: Make) -> None:
    it = plant()
    other = it.conf().model_copy(update={"partitions": 6})
    with pytest.raises(topics.TopicsError, match=f"RAPPORT_GENERATION={it.generation + 1} python -m streams topics"):
        topics.plan(other, it.sources)


def test_a_worker_without_its_topics_says_how_to_make_them(plant: Make) -> None:
    it = plant()
    with pytest.raises(topics.TopicsError, match=r"events\.chat\.\S+ is missing.*python -m streams topics apply"):
        topics.check(it.conf(), [*it.sources, "chat"])


def test_a_worker_refuses_a_changelog_that_any_zombie_could_write(plant: Make) -> None:
    it = plant(settings={"RAPPORT_STREAM_LEASE": "false"})
    topics.check(it.conf(), it.sources)
    with pytest.raises(topics.TopicsError, match=r"zombie.*python -m streams topics apply"):
        topics.check(it.conf().model_copy(update={"stream_lease": True}), it.sources)
