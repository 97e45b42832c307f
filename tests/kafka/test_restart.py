"""Restarts of workers: what the other workers notice."""

import signal
from collections.abc import Callable

from devservers.waiting import eventually, repeating
from featurestore import names
from tests.kafka.worker_harness import WorkerHarness, WorkerProcess

MakeHarness = Callable[..., WorkerHarness]
FEW, EVERY_S = 20, 0.05


def owned(harness: WorkerHarness, worker: WorkerProcess) -> set[int]:
    return set(worker.assigned().get(names.purge(harness.generation), []))


def two_workers(harness: WorkerHarness) -> tuple[WorkerProcess, WorkerProcess]:
    first, second = harness.worker("one").wait_ready(), harness.worker("two").wait_ready()

    def shared() -> bool:
        """Whether each partition has one owner, by both workers' last assignments: that of the first may be older."""
        one, two = owned(harness, first), owned(harness, second)
        return bool(one) and bool(two) and sorted([*one, *two]) == list(range(harness.partitions))

    eventually(shared, "partitions shared out")
    return first, second


def served(worker: WorkerProcess, partitions: set[int], since: int = 0) -> bool:
    """Whether the worker handled events of these partitions, by the lines after ``since``."""
    return bool(partitions & {int(partition) for _, partition, *_ in worker.printed("handled")[since:]})


def test_orderly_restart_causes_no_rebalance(make_harness: MakeHarness) -> None:
    # A session that also a start on a busy machine does not outlast.
    harness = make_harness(tables="rocksdb", settings={"RAPPORT_STREAM_SESSION_MS": "15000"})
    first, second = two_workers(harness)
    before, mine, theirs = len(first.printed("assigned")), owned(harness, second), owned(harness, first)
    with repeating(lambda: harness.produce(FEW), EVERY_S):
        eventually(lambda: served(second, mine), "events of the second")
        assert second.stop() == 0
        handled = len(first.printed("handled"))
        again = harness.worker("two")
        eventually(lambda: served(again, mine), "the same partitions, served again")
        eventually(lambda: served(first, theirs, handled), "the first worker going on")
    harness.wait_exact()
    assert owned(harness, again) == mine
    assert len(first.printed("assigned")) == before


def test_killed_worker_is_replaced_within_about_a_session(make_harness: MakeHarness) -> None:
    """The exact time is measured by make bench-recovery."""
    harness = make_harness(tables="rocksdb")
    first, second = two_workers(harness)
    mine = owned(harness, second)
    with repeating(lambda: harness.produce(FEW), EVERY_S):
        eventually(lambda: served(second, mine), "events of the second")
        handled = len(first.printed("handled"))
        second.process.send_signal(signal.SIGKILL)
        eventually(lambda: served(first, mine, handled), "its partitions, served by the first", within_s=30)
    harness.wait_exact()
