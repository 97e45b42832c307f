"""Topics that are deleted and made anew under their names: no event is skipped without a sign."""

from collections.abc import Callable

import pytest

from devservers.waiting import eventually
from featurestore import names
from streams import topics
from tests.kafka.worker_harness import WorkerHarness, WorkerProcess

MakeHarness = Callable[..., WorkerHarness]


def refused(worker: WorkerProcess, topic: str, generation: int) -> bool:
    """Whether the worker reports that it refuses a topic, with the command that mends it."""
    settings = f"set RAPPORT_GENERATION={generation + 1} RAPPORT_GENERATION_START="
    command = "for every process and run: python -m streams topics apply"
    reasons = worker.ready()[1]
    return any(reason.startswith(topic) and settings in reason and reason.endswith(command) for reason in reasons)


@pytest.mark.parametrize("tables", ["memory", "rocksdb"])
def test_event_topic_made_anew_is_refused(make_harness: MakeHarness, tables: str) -> None:
    harness = make_harness(tables=tables)
    topic = names.events("orders", harness.generation)
    worker = harness.worker("one").wait_ready()
    harness.produce(200, keys=20)
    harness.wait_exact()
    assert worker.stop() == 0
    counted = harness.counted()
    harness.make_anew(topic)
    harness.produce(50, keys=20)
    again = harness.worker("one")
    eventually(lambda: refused(again, topic, harness.generation), "the topic is refused")
    assert again.metric("rapport_stream_refused_topics") == 1
    assert not again.printed("started")
    assert harness.counted() == counted
    assert again.stop() == 0


def test_event_topic_made_anew_under_a_running_worker_is_refused(make_harness: MakeHarness) -> None:
    harness = make_harness()
    topic = names.events("orders", harness.generation)
    worker = harness.worker("one").wait_ready()
    harness.produce(200, keys=20)
    harness.wait_exact()
    counted = harness.counted()
    harness.make_anew(topic)
    harness.produce(20, keys=20)
    eventually(
        lambda: worker.process.poll() is not None or refused(worker, topic, harness.generation),
        "the topic is noticed",
        within_s=90,
    )
    if worker.process.poll() is not None:
        worker = harness.worker("one")
        eventually(lambda: refused(worker, topic, harness.generation), "the topic is refused")
    assert harness.counted() == counted


def test_purge_topic_made_anew_purges_every_subject(make_harness: MakeHarness) -> None:
    harness = make_harness()
    worker = harness.worker("one").wait_ready()
    harness.produce(100, keys=20)
    harness.wait_exact()
    keys = set(harness.truth["orders"])
    assert worker.stop() == 0
    harness.make_anew(names.purge(harness.generation))
    again = harness.worker("one").wait_ready()

    def purged() -> set[str]:
        return {key.strip() for _, *subjects in again.printed("everyone") for key in subjects}

    eventually(lambda: purged() == keys, "every subject is purged")
    harness.produce(50, keys=20)
    harness.wait_exact()
    assert again.stop() == 0
    third = harness.worker("one").wait_ready()
    harness.produce(50, keys=20)
    harness.wait_exact()
    assert not third.printed("everyone"), "the purge topic is known now"


def test_deleted_event_topic_is_not_made_anew_by_apply(make_harness: MakeHarness) -> None:
    harness = make_harness()
    worker = harness.worker("one").wait_ready()
    harness.produce(20)
    harness.wait_exact()
    assert worker.stop() == 0
    topic = names.events("orders", harness.generation)
    harness.delete_topic(topic)
    with pytest.raises(topics.TopicsError, match=rf"{topic} was deleted.*RAPPORT_GENERATION={harness.generation + 1} "):
        topics.apply(harness.conf(), harness.sources)
    with pytest.raises(topics.TopicsError, match="was deleted"):
        topics.check(harness.conf(), harness.sources)


def test_deleted_topics_without_state_are_made_anew_by_apply(make_harness: MakeHarness) -> None:
    harness = make_harness()
    topic = names.events("orders", harness.generation)
    harness.delete_topic(topic)
    assert [created.name for created in topics.apply(harness.conf(), harness.sources).create] == [topic]
