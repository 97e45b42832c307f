"""Nothing lost and nothing counted twice, whatever happens to workers."""

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
from streams.fatal import EXIT_CODE
from tests.kafka.counting import FIELD, PURPOSE
from tests.kafka.plant import Plant, Worker

Make = Callable[..., Plant]


@pytest.mark.parametrize("tables", ["memory", "rocksdb"])
def test_counts_are_exact_though_a_worker_is_killed(plant: Make, tables: str) -> None:
    """Also: a second worker joins under load, and partition n of every topic is on one worker."""
    it = plant(tables=tables, sources=("orders", "chat"))
    it.produce(3_000)
    first = it.worker("one").wait_ready()
    it.produce(3_000)
    second = it.worker("two").wait_ready()
    eventually(lambda: shared(it, first, second), "partitions shared by both workers")
    assert_copartitioned(it, first, second)
    it.produce(3_000)
    it.produce(1_000, "chat")
    second.kill()
    it.produce(3_000)
    second = it.worker("two").wait_ready()
    it.produce(3_000)
    it.wait_exact()
    it.wait_exact("chat")
    assert first.stop() == 0
    assert second.stop() == 0


def shared(it: Plant, *workers: Worker) -> bool:
    """Whether every partition has one owner, by the purge topic."""
    owned = [worker.assigned().get(names.purge(it.generation), []) for worker in workers]
    return all(owned) and sorted(itertools.chain(*owned)) == list(range(it.partitions))


def assert_copartitioned(it: Plant, *workers: Worker) -> None:
    for assigned in (worker.assigned() for worker in workers):
        tables = [f(source, it.generation) for source in it.sources for f in (names.events, names.changelog)]
        assert set(assigned) == {*tables, names.purge(it.generation)}
        assert len(set(map(tuple, assigned.values()))) == 1, assigned


def test_a_bundle_lost_behind_the_fetcher_is_read_again(plant: Make) -> None:
    it = plant()
    worker = it.worker("one", COUNTING_LOSES="3").wait_ready()
    for _ in range(20):
        it.produce(100)
    it.wait_exact()
    assert worker.said("lost")
    assert worker.metric("rapport_stream_reread_total") >= 1


def stored(it: Plant, store: RedisStore) -> dict[str, tuple[int, int]]:
    """Count and sum by key, as pushed to the store."""
    keys = sorted(it.truth["orders"])
    fields = [subject.fields[0] for subject in store.read(keys, [FIELD], [], 5_000).subjects]
    states = {key: json.loads(field[VALUES_START:]) for key, field in zip(keys, fields, strict=True) if field}
    return {key: (state["count"], state["sum"]) for key, state in states.items()}


def refused_writes(worker: Worker, since: int) -> bool:
    return any("stale\n" in became for became in worker.said("pushed")[since:])


@pytest.mark.parametrize(("stopped", "slow"), [("took", "COUNTING_SLOW_S"), ("kept", "COUNTING_PUSH_S")])
def test_a_zombie_writes_nothing_though_its_changelog_is_compacted(
    plant: Make, redis_server: str, stopped: str, slow: str
) -> None:
    """A worker stopped in the middle of a bundle, before or after the changelog, wakes up when another has gone on."""
    it = plant(settings={"COUNTING_STORE": redis_server})
    it.compact_eagerly()
    store = RedisStore(redis_server, 5_000)
    store.publish_permissions(
        {f"k{number}": Permission(1, 1, {PURPOSE: PurposePermission(True, 1, 0)}) for number in range(300)}
    )
    zombie = it.worker("one", **{slow: "1"}).wait_ready()
    it.produce(400)
    eventually(lambda: zombie.said(stopped), "a bundle in hand")
    zombie.process.send_signal(signal.SIGSTOP)
    heir = it.worker("two").wait_ready()
    purge = names.purge(it.generation)
    eventually(lambda: len(heir.assigned().get(purge, [])) == it.partitions, "partitions taken over")

    def cleaned_after_another_round(more_than: int) -> bool:
        it.produce(200)
        return it.compacted() > more_than

    eventually(lambda: cleaned_after_another_round(0), "the cleaner at work", every_s=0.2)
    it.wait_exact()
    before, pushed = it.compacted(), len(zombie.said("pushed"))
    zombie.process.send_signal(signal.SIGCONT)
    if stopped == "took":
        assert zombie.process.wait(30) == EXIT_CODE  # its write to the changelog was refused
    else:
        eventually(lambda: refused_writes(zombie, pushed), "its write to the store, refused")
    eventually(lambda: cleaned_after_another_round(before), "the cleaner going on", every_s=0.2)
    it.wait_exact()
    truth = {key: (count, it.sums["orders"][key]) for key, count in it.truth["orders"].items()}
    eventually(lambda: stored(it, store) == truth, "the store as exact")

    for worker in it.workers:
        worker.kill()
    it.worker("three").wait_ready()  # from nothing but the compacted changelog
    it.produce_to(truth)
    it.wait_exact()


@pytest.mark.parametrize(("ahead_s", "way"), [("1.4", "ahead of"), ("-1.4", "behind")])
def test_a_worker_whose_clock_is_off_ends_and_says_what_to_do(plant: Make, ahead_s: str, way: str) -> None:
    """Ahead of the broker by more than the margin it could write after it was replaced."""
    it = plant()
    worker = it.worker("one", COUNTING_AHEAD_S=ahead_s)
    assert worker.process.wait(60) == EXIT_CODE
    assert not worker.said("assigned")
    log = (it.folder / "one.log").read_text(encoding="utf-8")
    assert re.search(rf"ClockError.*clock is 1[34]\d\d ms {way} the broker's; they must agree to 1000 ms.*NTP", log)


def test_a_worker_whose_clock_is_within_the_margin_warns_and_counts(plant: Make) -> None:
    it = plant()
    worker = it.worker("one", COUNTING_AHEAD_S="0.7").wait_ready()
    assert 0.6 < worker.metric("rapport_stream_clock_skew_seconds") < 0.8
    assert "clocks differ" in (it.folder / "one.log").read_text(encoding="utf-8")
    it.produce(500)
    it.wait_exact()


def test_a_rebalance_waits_for_a_bundle_that_takes_longer_than_a_session(plant: Make) -> None:
    """Its worker holds the partitions meanwhile, so it may write, and lives."""
    it = plant()
    slow = it.worker("one", COUNTING_SLOW_S="5").wait_ready()
    it.produce(400)
    eventually(lambda: slow.said("took"), "a bundle in hand")
    second = it.worker("two").wait_ready()
    eventually(lambda: shared(it, slow, second), "partitions shared by both workers", within_s=120)
    assert slow.process.poll() is None
    it.wait_exact()


def test_a_poison_event_ends_the_worker_and_is_never_passed(plant: Make) -> None:
    it = plant()
    it.produce(500)
    it.produce_raw(b"poison", partition=1)
    for _ in range(2):
        assert it.worker("one").process.wait(30) == EXIT_CODE
    before = {key: state["count"] for key, state in it.counted().items()}
    assert all(count == it.truth["orders"][key] for key, count in before.items())
    assert "raw" not in before
