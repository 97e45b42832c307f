"""Nothing lost and nothing counted twice, whatever happens to workers."""

import itertools
import re
import signal
from collections.abc import Callable

import pytest

from featurestore import names
from streams.fatal import EXIT_CODE
from tests.kafka.plant import Plant, Worker
from tests.waiting import eventually

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


def test_a_zombie_writes_nothing(plant: Make) -> None:
    """A worker stopped in the middle of a bundle, past its session, wakes up when another has its partitions."""
    it = plant()
    zombie = it.worker("one", COUNTING_SLOW_S="1").wait_ready()
    it.produce(400)
    eventually(lambda: zombie.said("took"), "a bundle in hand")
    zombie.process.send_signal(signal.SIGSTOP)
    heir = it.worker("two").wait_ready()
    eventually(
        lambda: len(heir.assigned().get(names.purge(it.generation), [])) == it.partitions, "partitions taken over"
    )
    it.produce(2_000)
    it.wait_exact()
    zombie.process.send_signal(signal.SIGCONT)
    assert zombie.process.wait(30) == EXIT_CODE
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


def test_a_poison_event_ends_the_worker_and_is_never_passed(plant: Make) -> None:
    it = plant()
    it.produce(500)
    it.produce_raw(b"poison", partition=1)
    for _ in range(2):
        assert it.worker("one").process.wait(30) == EXIT_CODE
    before = {key: state["count"] for key, state in it.counted().items()}
    assert all(count == it.truth["orders"][key] for key, count in before.items())
    assert "raw" not in before
