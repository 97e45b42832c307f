"""Topics that were made anew or restored: nothing is processed, and the command that mends it is stated."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from faust.types import TP

from featurestore.tiles.state_record import decode
from streams import topic_check as check_module
from streams import topic_watch as watch_module
from streams.metrics import REFUSED
from streams.partition_purge import PartitionPurge
from streams.partition_queues import PartitionQueues
from streams.topic_check import KEY, TopicCheck, TopicRefused
from streams.topic_watch import TopicWatch
from tests.kit.state_tables import MemoryStateTable
from tests.streams.environment import ANN, BOB, ProcessingEnvironment

pytestmark = pytest.mark.anyio

EVENTS, CHANGELOG, PURGES = "events.purchases.g1", "rapport.purchases.changelog.g1", "consent.purge.g1"
PARTITION = 0


class Cluster:
    """Ids and ends of the topics, and how often they were asked for."""

    def __init__(self) -> None:
        self.ids = {EVENTS: "E1", CHANGELOG: "C1", PURGES: "P1"}
        self.ends = {TP(EVENTS, PARTITION): 9, TP(PURGES, PARTITION): 3}
        self.described, self.failures = 0, list[Exception]()
        self.after_ends: Callable[[], None] = lambda: None

    def describe(self, topics: Collection[str]) -> Mapping[str, str]:
        self.described += 1
        if self.failures:
            raise self.failures.pop()
        return {name: self.ids[name] for name in topics if name in self.ids}

    async def highwaters(self, *tps: TP) -> Mapping[TP, int]:
        found = {tp: self.ends[tp] for tp in tps}
        self.after_ends()
        return found


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "RETRY_S", 0)
    monkeypatch.setattr(watch_module, "RETRY_S", 0)


@pytest.fixture
def table() -> MemoryStateTable:
    return MemoryStateTable()


@pytest.fixture
def topic_check(cluster: Cluster, table: MemoryStateTable) -> TopicCheck:
    return TopicCheck({"purchases": table}, 1, cluster.describe)  # type: ignore[dict-item]


async def assign(topic_check: TopicCheck, cluster: Cluster) -> set[int]:
    return await topic_check.check(cluster, [PARTITION], store=True)


async def test_unchanged_topics_cost_one_description_an_assignment(
    topic_check: TopicCheck, cluster: Cluster, table: MemoryStateTable
) -> None:
    assert await assign(topic_check, cluster) == set()
    cluster.ends[TP(EVENTS, PARTITION)] = 12
    assert await assign(topic_check, cluster) == set()
    assert await assign(topic_check, cluster) == set()
    assert cluster.described == 3
    assert [commit.keys() for commit in table.commits] == [{KEY}, {KEY}], "at first, and as the end had moved"


@pytest.mark.parametrize("topic", [EVENTS, CHANGELOG])
async def test_topic_made_anew_is_refused_with_the_command(
    topic_check: TopicCheck, cluster: Cluster, topic: str
) -> None:
    await assign(topic_check, cluster)
    cluster.ids[topic] = "another"
    cluster.ends = dict.fromkeys(cluster.ends, 100)
    with pytest.raises(TopicRefused) as refused:
        await assign(topic_check, cluster)
    assert str(refused.value).startswith(f"{topic} was deleted and made anew. ")
    assert "set RAPPORT_GENERATION=2 RAPPORT_GENERATION_START=20" in str(refused.value)
    assert "for every process and run: python -m streams topics apply" in str(refused.value)


async def test_topic_with_fewer_offsets_than_before_is_refused(topic_check: TopicCheck, cluster: Cluster) -> None:
    await assign(topic_check, cluster)
    cluster.ends[TP(EVENTS, PARTITION)] = 8
    with pytest.raises(TopicRefused, match=f"{EVENTS} ends at offset 8, and ended at 9 before"):
        await assign(topic_check, cluster)


async def test_end_that_is_earlier_for_a_moment_is_no_loss(topic_check: TopicCheck, cluster: Cluster) -> None:
    """A partition's new leader learns its end from its followers."""
    await assign(topic_check, cluster)
    cluster.ends[TP(EVENTS, PARTITION)] = 8
    cluster.after_ends = lambda: cluster.ends.update({TP(EVENTS, PARTITION): 9})
    assert await assign(topic_check, cluster) == set()


async def test_deleted_topic_is_refused(topic_check: TopicCheck, cluster: Cluster) -> None:
    await assign(topic_check, cluster)
    del cluster.ids[EVENTS]
    with pytest.raises(TopicRefused, match=f"{EVENTS} was deleted"):
        await assign(topic_check, cluster)


async def test_brokers_without_topic_ids_are_judged_by_ends(topic_check: TopicCheck, cluster: Cluster) -> None:
    cluster.ids = dict.fromkeys(cluster.ids, "")
    await assign(topic_check, cluster)
    cluster.ids[EVENTS] = "E1"  # the brokers were updated
    assert await assign(topic_check, cluster) == set()
    cluster.ends[TP(EVENTS, PARTITION)] = 8
    with pytest.raises(TopicRefused):
        await assign(topic_check, cluster)


async def test_offset_read_beyond_the_end_is_refused(topic_check: TopicCheck, cluster: Cluster) -> None:
    await assign(topic_check, cluster)
    topic_check.check_positions({TP(EVENTS, PARTITION): 9, TP(PURGES, PARTITION): 99})
    await assign(topic_check, cluster)
    with pytest.raises(TopicRefused, match=f"{EVENTS} ends at offset 9, and events up to 10 were read"):
        topic_check.check_positions({TP(EVENTS, PARTITION): 10})
    topic_check.check_positions({TP(EVENTS, PARTITION): 10})  # later the ends of the assignment are outdated


class WatchEnvironment:
    """A watch over the topics of a processing environment."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.env = cluster, ProcessingEnvironment()
        self.queues = PartitionQueues()
        self.queues.restart(dict.fromkeys(cluster.ends, 0))
        tables: Any = {"purchases": self.env.table}
        topic_check = TopicCheck(tables, 1, cluster.describe)
        self.watch = TopicWatch(
            topic_check, self.queues, PartitionPurge(self.queues, tables, self.env.micro_batches.purge)
        )

    async def assign(self) -> None:
        await self.watch.admit(self.cluster, [PARTITION])
        await asyncio.gather(*self.watch._purges.values())

    def views_of(self, subject: str) -> set[str]:
        return set(decode(self.env.table.values[subject.encode()]).views)


async def test_refused_topics_are_reported_while_nothing_is_processed(cluster: Cluster) -> None:
    made = WatchEnvironment(cluster)
    await made.assign()
    cluster.ids[EVENTS] = "another"
    waiting = asyncio.create_task(made.assign())
    while made.watch.refusal is None:
        await asyncio.sleep(0)
    assert REFUSED._value.get() == 1
    assert "RAPPORT_GENERATION=2" in made.watch.refusal
    assert not waiting.done()
    waiting.cancel()


async def test_kafka_that_does_not_answer_is_asked_again(cluster: Cluster) -> None:
    made = WatchEnvironment(cluster)
    cluster.failures = [KafkaException(KafkaError(KafkaError._TRANSPORT))]
    await made.assign()
    assert (cluster.described, made.watch.refusal) == (2, None)


async def test_purge_topic_made_anew_purges_every_subject(cluster: Cluster) -> None:
    made = WatchEnvironment(cluster)
    env = made.env
    await made.assign()
    for subject in (ANN, BOB):
        env.permit(subject)
        await env.micro_batches.handle([env.batch(env.record(env.raw(subject), subject))])
    env.permit(ANN, allowed=False)  # its purge was in the topic that was deleted
    assert made.views_of(ANN) == {"spend"}
    cluster.ids[PURGES] = "another"
    await made.assign()
    assert (made.views_of(ANN), made.views_of(BOB)) == (set(), {"spend"})
    described = len(env.table.commits)
    await made.assign()
    assert len(env.table.commits) == described, "the purge topic is known now"


async def purge_without_partition(cluster: Cluster) -> WatchEnvironment:
    """A watch whose purge of everybody found no partition that is processed."""
    made = WatchEnvironment(cluster)
    await made.assign()
    cluster.ids[PURGES] = "another"
    made.queues.revoke(list(cluster.ends))
    await made.assign()
    return made


async def test_purge_of_a_revoked_partition_is_repeated_by_its_next_owner(cluster: Cluster) -> None:
    made = await purge_without_partition(cluster)
    assert await made.watch.topic_check.check(cluster, [PARTITION], store=False) == {PARTITION}


async def test_purge_that_an_assignment_starts_is_repeated_when_the_partition_is_processed(cluster: Cluster) -> None:
    made = await purge_without_partition(cluster)
    made.queues.restart(dict.fromkeys(cluster.ends, 0))
    watching = asyncio.create_task(made.watch.run(cluster))
    while await made.watch.topic_check.check(cluster, [PARTITION], store=False):
        await asyncio.sleep(0.01)
    watching.cancel()
