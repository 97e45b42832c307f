"""Topics as code, against a real cluster."""

import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from devservers.waiting import eventually
from featurestore import names
from featurestore.catalog import registry
from featurestore.config import ROOT
from streams import topics
from streams.lease import longest_ms
from tests.kafka.plant import Plant, generations

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


def streams(it: Plant, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line, for the catalog's sources."""
    return subprocess.run(
        [sys.executable, "-m", "streams", *arguments],
        env={**os.environ, **it.environment, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_other_partition_counts_are_refused_with_the_command_that_mends_them(plant: Make) -> None:
    it = plant(sources=tuple(registry.sources))
    refused = streams(it, "topics", "plan", RAPPORT_PARTITIONS="6")
    assert refused.returncode == 1
    assert f"{names.purge(it.generation)} has 4" in refused.stderr
    (generation,) = re.findall(r"RAPPORT_GENERATION=(\d+) python -m streams topics apply", refused.stderr)
    assert int(generation) == next(generations)
    mended = {"RAPPORT_PARTITIONS": "6", "RAPPORT_GENERATION": generation}
    assert streams(it, "topics", "apply", **mended).returncode == 0
    assert streams(it, "topics", "plan", **mended).returncode == 0


def test_a_plan_with_something_to_do_ends_with_2(plant: Make) -> None:
    it = plant(sources=tuple(registry.sources))
    assert streams(it, "topics", "plan").stdout == "the cluster's topics are as they should be\n"
    planned = streams(it, "topics", "plan", RAPPORT_STREAM_SESSION_MS="6000")
    assert planned.returncode == 2
    assert f"change {names.changelog('orders', it.generation)}: {topics.LEASE_SETTING}=4000" in planned.stdout


def test_what_somebody_else_set_is_taken_back(plant: Make) -> None:
    it = plant()
    topic = names.events("orders", it.generation)
    entry = ConfigEntry("retention.bytes", "1000", incremental_operation=AlterConfigOpType.SET)
    admin = AdminClient({"bootstrap.servers": it.bootstrap, "log_level": 0})
    change = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    for altered in admin.incremental_alter_configs([change]).values():
        altered.result(10)
    eventually(lambda: topics.plan(it.conf(), it.sources).reset == {topic: ["retention.bytes"]}, "the drift")
    topics.apply(it.conf(), it.sources)
    eventually(lambda: described(it, topic)["retention.bytes"] == "-1", "Kafka's default")


def test_a_source_that_is_gone_leaves_topics_to_look_at(plant: Make) -> None:
    it = plant(sources=("orders", "chat"))
    steps = topics.plan(it.conf(), ["orders"])
    assert steps.unwanted == [names.events("chat", it.generation), names.changelog("chat", it.generation)]
    assert not steps.due
    assert f"--delete --topic {names.events('chat', it.generation)}" in "\n".join(steps.lines())


def test_new_topics_with_more_replicas_than_brokers_are_refused(plant: Make) -> None:
    it = plant()
    three = it.conf().model_copy(update={"replication": 3})
    with pytest.raises(topics.TopicsError, match=r"cluster has 1 broker.*set RAPPORT_REPLICATION=1"):
        topics.plan(three, [*it.sources, "chat"])


def test_replicas_that_are_missing_keep_no_worker_from_starting_and_nothing_from_being_written(plant: Make) -> None:
    """With min.insync.replicas as for three replicas, a topic with one would take no write."""
    it = plant()
    three = it.conf().model_copy(update={"replication": 3})
    steps = topics.apply(three, it.sources)
    assert set(steps.replicate) == {topic.name for topic in topics.required_topics(three, it.sources)}
    assert described(it, names.events("orders", it.generation))["min.insync.replicas"] == "1"
    topics.check(three, it.sources)


def test_a_worker_without_its_topics_says_how_to_make_them(plant: Make) -> None:
    it = plant()
    with pytest.raises(topics.TopicsError, match=r"events\.chat\.\S+ is missing.*python -m streams topics apply"):
        topics.check(it.conf(), [*it.sources, "chat"])


def test_a_worker_refuses_a_changelog_that_any_zombie_could_write(plant: Make) -> None:
    it = plant(settings={"RAPPORT_STREAM_LEASE": "false"})
    topics.check(it.conf(), it.sources)
    with pytest.raises(topics.TopicsError, match=r"zombie.*python -m streams topics apply"):
        topics.check(it.conf().model_copy(update={"stream_lease": True}), it.sources)
