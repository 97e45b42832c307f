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
from tests.kafka.worker_harness import WorkerHarness, generations

DAY_MS = 86_400_000
MakeHarness = Callable[..., WorkerHarness]


def described(harness: WorkerHarness, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": harness.bootstrap, "log_level": 0})
    (future,) = admin.describe_configs([resource]).values()
    return {name: entry.value for name, entry in future.result(10).items()}


def test_plan_is_empty_after_it_was_applied(make_harness: MakeHarness) -> None:
    harness = make_harness()
    assert topics.plan(harness.conf(), harness.sources).lines() == []
    config = described(harness, names.changelog("orders", harness.generation))
    assert config["cleanup.policy"] == "compact"
    assert config["message.timestamp.before.max.ms"] == str(longest_ms(harness.conf()))


def test_new_source_and_changed_setting_are_steps(make_harness: MakeHarness) -> None:
    harness = make_harness()
    later = harness.conf().model_copy(update={"stream_session_ms": 6_000})
    steps = topics.plan(later, [*harness.sources, "chat"])
    assert {topic.name for topic in steps.create} == {
        names.events("chat", harness.generation),
        names.changelog("chat", harness.generation),
    }
    changelog = names.changelog("orders", harness.generation)
    assert steps.alter == {changelog: {"message.timestamp.before.max.ms": str(longest_ms(later))}}
    topics.apply(later, harness.sources)
    eventually(lambda: topics.plan(later, harness.sources).lines() == [], "the cluster as planned")


def test_journal_has_one_partition_and_is_kept_as_long_as_backups(make_harness: MakeHarness) -> None:
    harness = make_harness(settings={"RAPPORT_JOURNAL_TOPIC": f"journal.{next(generations)}"})
    conf = harness.conf()
    assert topics.plan(conf, harness.sources).lines() == []
    config = described(harness, conf.journal_topic)
    assert (config["cleanup.policy"], config["retention.ms"]) == ("delete", str(90 * DAY_MS))
    later = conf.model_copy(update={"generation": next(generations), "journal_retention_days": 120})
    assert conf.journal_topic not in {topic.name for topic in topics.plan(later, harness.sources).create}
    assert topics.plan(later, harness.sources).alter[conf.journal_topic] == {"retention.ms": str(120 * DAY_MS)}


def streams(harness: WorkerHarness, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line, for the catalog's sources."""
    return subprocess.run(
        [sys.executable, "-m", "streams", *arguments],
        env={**os.environ, **harness.environment, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_other_partition_count_is_refused_with_the_command_to_run(make_harness: MakeHarness) -> None:
    harness = make_harness(sources=tuple(registry.sources))
    refused = streams(harness, "topics", "plan", RAPPORT_PARTITIONS="6")
    assert refused.returncode == 1
    assert f"{names.purge(harness.generation)} has 4" in refused.stderr
    (generation,) = re.findall(
        r"RAPPORT_GENERATION=(\d+) RAPPORT_GENERATION_START=\S+ python -m streams topics apply", refused.stderr
    )
    assert int(generation) == next(generations)
    mended = {"RAPPORT_PARTITIONS": "6", "RAPPORT_GENERATION": generation}
    assert streams(harness, "topics", "apply", **mended).returncode == 0
    assert streams(harness, "topics", "plan", **mended).returncode == 0


def test_plan_with_steps_exits_with_2(make_harness: MakeHarness) -> None:
    harness = make_harness(sources=tuple(registry.sources))
    assert streams(harness, "topics", "plan").stdout == "the cluster's topics are as they should be\n"
    planned = streams(harness, "topics", "plan", RAPPORT_STREAM_SESSION_MS="6000")
    assert planned.returncode == 2
    assert f"change {names.changelog('orders', harness.generation)}: {topics.LEASE_SETTING}=4000" in planned.stdout


def test_setting_of_somebody_else_is_reset(make_harness: MakeHarness) -> None:
    harness = make_harness()
    topic = names.events("orders", harness.generation)
    entry = ConfigEntry("retention.bytes", "1000", incremental_operation=AlterConfigOpType.SET)
    admin = AdminClient({"bootstrap.servers": harness.bootstrap, "log_level": 0})
    change = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    for altered in admin.incremental_alter_configs([change]).values():
        altered.result(10)
    eventually(lambda: topics.plan(harness.conf(), harness.sources).reset == {topic: ["retention.bytes"]}, "the drift")
    topics.apply(harness.conf(), harness.sources)
    eventually(lambda: described(harness, topic)["retention.bytes"] == "-1", "Kafka's default")


def test_topics_of_a_removed_source_are_listed(make_harness: MakeHarness) -> None:
    harness = make_harness(sources=("orders", "chat"))
    steps = topics.plan(harness.conf(), ["orders"])
    assert steps.unwanted == [names.events("chat", harness.generation), names.changelog("chat", harness.generation)]
    assert not steps.due
    assert f"--delete --topic {names.events('chat', harness.generation)}" in "\n".join(steps.lines())


def test_more_replicas_than_brokers_are_refused(make_harness: MakeHarness) -> None:
    harness = make_harness()
    three = harness.conf().model_copy(update={"replication": 3})
    with pytest.raises(topics.TopicsError, match=r"cluster has 1 broker.*set RAPPORT_REPLICATION=1"):
        topics.plan(three, [*harness.sources, "chat"])


def test_missing_replicas_stop_neither_workers_nor_writes(make_harness: MakeHarness) -> None:
    """With min.insync.replicas as for three replicas, a topic with one would take no write."""
    harness = make_harness()
    three = harness.conf().model_copy(update={"replication": 3})
    steps = topics.apply(three, harness.sources)
    assert set(steps.replicate) == {topic.name for topic in topics.required_topics(three, harness.sources)}
    assert described(harness, names.events("orders", harness.generation))["min.insync.replicas"] == "1"
    topics.check(three, harness.sources)


def test_worker_without_topics_names_the_command_to_run(make_harness: MakeHarness) -> None:
    harness = make_harness()
    with pytest.raises(topics.TopicsError, match=r"events\.chat\.\S+ is missing.*python -m streams topics apply"):
        topics.check(harness.conf(), [*harness.sources, "chat"])


def test_worker_refuses_a_changelog_without_a_lease(make_harness: MakeHarness) -> None:
    harness = make_harness(settings={"RAPPORT_STREAM_LEASE": "false"})
    topics.check(harness.conf(), harness.sources)
    with pytest.raises(topics.TopicsError, match=r"zombie.*python -m streams topics apply"):
        topics.check(harness.conf().model_copy(update={"stream_lease": True}), harness.sources)
