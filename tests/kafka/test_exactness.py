"""Exactness: no event is lost or counted twice, whatever happens to workers."""

import itertools
import json
import re
import signal
from collections.abc import Callable

import pytest

from devservers.waiting import eventually
from featurestore import names
from featurestore.permission import Permission, PurposePermission
from featurestore.store.redis import RedisStore
from featurestore.tiles.stored_field import VALUES_START
from streams.process_end import EXIT_CODE
from tests.kafka.counting_worker import FIELD, PURPOSE
from tests.kafka.worker_harness import WorkerHarness, WorkerProcess

MakeHarness = Callable[..., WorkerHarness]


@pytest.mark.parametrize("tables", ["memory", "rocksdb"])
def test_counts_are_exact_though_a_worker_is_killed(make_harness: MakeHarness, tables: str) -> None:
    """Also: a second worker joins under load, and partition n of every topic is on one worker."""
    harness = make_harness(tables=tables, sources=("orders", "chat"))
    harness.produce(3_000)
    first = harness.worker("one").wait_ready()
    harness.produce(3_000)
    second = harness.worker("two").wait_ready()
    eventually(lambda: shared(harness, first, second), "partitions shared by both workers")
    assert_copartitioned(harness, first, second)
    harness.produce(3_000)
    harness.produce(1_000, "chat")
    second.kill()
    harness.produce(3_000)
    second = harness.worker("two").wait_ready()
    harness.produce(3_000)
    harness.wait_exact()
    harness.wait_exact("chat")
    assert first.stop() == 0
    assert second.stop() == 0


def shared(harness: WorkerHarness, *workers: WorkerProcess) -> bool:
    """Whether every partition has one owner, by the purge topic."""
    owned = [worker.assigned().get(names.purge(harness.generation), []) for worker in workers]
    return all(owned) and sorted(itertools.chain(*owned)) == list(range(harness.partitions))


def assert_copartitioned(harness: WorkerHarness, *workers: WorkerProcess) -> None:
    for assigned in (worker.assigned() for worker in workers):
        tables = [f(source, harness.generation) for source in harness.sources for f in (names.events, names.changelog)]
        assert set(assigned) == {*tables, names.purge(harness.generation)}
        assert len(set(map(tuple, assigned.values()))) == 1, assigned


def test_fetch_batch_lost_after_the_fetch_is_read_again(make_harness: MakeHarness) -> None:
    harness = make_harness()
    worker = harness.worker("one", COUNTING_LOSES="3").wait_ready()
    for _ in range(20):
        harness.produce(100)
    harness.wait_exact()
    assert worker.printed("lost")
    assert worker.metric("rapport_stream_reread_total") >= 1


def stored(harness: WorkerHarness, store: RedisStore) -> dict[str, tuple[int, int]]:
    """Count and sum by key, as pushed to the store."""
    keys = sorted(harness.truth["orders"])
    fields = [subject.fields[0] for subject in store.read(keys, [FIELD], [], 5_000).subjects]
    states = {key: json.loads(field[VALUES_START:]) for key, field in zip(keys, fields, strict=True) if field}
    return {key: (state["count"], state["sum"]) for key, state in states.items()}


def refused_writes(worker: WorkerProcess, since: int) -> bool:
    return any("superseded\n" in outcomes for outcomes in worker.printed("pushed")[since:])


@pytest.mark.parametrize(("stopped", "slow"), [("started", "COUNTING_SLOW_S"), ("committed", "COUNTING_PUSH_S")])
def test_zombie_writes_nothing_though_its_changelog_is_compacted(
    make_harness: MakeHarness, redis_server: str, stopped: str, slow: str
) -> None:
    """A worker stopped during a micro-batch, before or after the changelog, continues when another has gone on."""
    harness = make_harness(settings={"COUNTING_STORE": redis_server})
    harness.compact_eagerly()
    store = RedisStore(redis_server, 5_000)
    store.publish_permissions(
        {f"k{number}": Permission(1, 1, {PURPOSE: PurposePermission(True, 1, 0)}) for number in range(300)}
    )
    zombie = harness.worker("one", **{slow: "2"}).wait_ready()  # stopped within this pause, for longer than it
    harness.produce(400)
    eventually(lambda: zombie.printed(stopped), "a fetch batch being handled")
    zombie.process.send_signal(signal.SIGSTOP)
    successor = harness.worker("two").wait_ready()
    purge = names.purge(harness.generation)
    eventually(lambda: len(successor.assigned().get(purge, [])) == harness.partitions, "partitions taken over")

    def compacted_after_more_events(more_than: int) -> bool:
        harness.produce(200)
        return harness.compacted() > more_than

    eventually(lambda: compacted_after_more_events(0), "the first compaction", every_s=0.2)
    harness.wait_exact()
    before, pushed = harness.compacted(), len(zombie.printed("pushed"))
    zombie.process.send_signal(signal.SIGCONT)
    if stopped == "started":
        assert zombie.process.wait(30) == EXIT_CODE  # its write to the changelog was refused
    else:
        eventually(lambda: refused_writes(zombie, pushed), "its write to the store, refused")
    eventually(lambda: compacted_after_more_events(before), "another compaction", every_s=0.2)
    harness.wait_exact()
    truth = {key: (count, harness.sums["orders"][key]) for key, count in harness.truth["orders"].items()}
    eventually(lambda: stored(harness, store) == truth, "the store as exact")

    for worker in harness.workers:
        worker.kill()
    harness.worker("three").wait_ready()  # from nothing but the compacted changelog
    harness.produce_to(truth)
    harness.wait_exact()


@pytest.mark.parametrize(("ahead_s", "way"), [("1.4", "ahead of"), ("-1.4", "behind")])
def test_skewed_clock_ends_the_worker_with_instructions(make_harness: MakeHarness, ahead_s: str, way: str) -> None:
    """A worker ahead of the broker by more than the margin could write after it was replaced."""
    harness = make_harness()
    worker = harness.worker("one", COUNTING_AHEAD_S=ahead_s)
    assert worker.process.wait(60) == EXIT_CODE
    assert not worker.printed("assigned")
    log = (harness.folder / "one.log").read_text(encoding="utf-8")
    assert re.search(rf"ClockError.*clock is 1[34]\d\d ms {way} the broker's; they must agree to 1000 ms.*NTP", log)


def test_clock_skew_within_the_margin_is_warned_of(make_harness: MakeHarness) -> None:
    harness = make_harness()
    worker = harness.worker("one", COUNTING_AHEAD_S="0.7").wait_ready()
    assert 0.6 < worker.metric("rapport_stream_clock_skew_seconds") < 0.8
    assert "clocks differ" in (harness.folder / "one.log").read_text(encoding="utf-8")
    harness.produce(500)
    harness.wait_exact()


def test_rebalance_waits_for_a_batch_longer_than_a_session(make_harness: MakeHarness) -> None:
    """The worker owns the partitions meanwhile: it may write, and does not end."""
    harness = make_harness()
    slow = harness.worker("one", COUNTING_SLOW_S="5").wait_ready()
    harness.produce(400)
    eventually(lambda: slow.printed("started"), "a fetch batch being handled")
    second = harness.worker("two").wait_ready()
    eventually(lambda: shared(harness, slow, second), "partitions shared by both workers", within_s=120)
    assert slow.process.poll() is None
    harness.wait_exact()


def test_poison_event_ends_the_worker_and_is_never_skipped(make_harness: MakeHarness) -> None:
    harness = make_harness()
    harness.produce(500)
    harness.produce_raw(b"poison", partition=1)
    for _ in range(2):
        assert harness.worker("one").process.wait(30) == EXIT_CODE
    before = {key: state["count"] for key, state in harness.counted().items()}
    assert all(count == harness.truth["orders"][key] for key, count in before.items())
    assert "raw" not in before
