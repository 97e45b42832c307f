"""Workers that go and come: what the others notice."""

import signal
from collections.abc import Callable

from devservers.waiting import eventually, repeating
from featurestore import names
from tests.kafka.plant import Plant, Worker

Make = Callable[..., Plant]
FEW, EVERY_S = 20, 0.05


def owned(it: Plant, worker: Worker) -> set[int]:
    return set(worker.assigned().get(names.purge(it.generation), []))


def two_workers(it: Plant) -> tuple[Worker, Worker]:
    first, second = it.worker("one").wait_ready(), it.worker("two").wait_ready()

    def shared() -> bool:
        """Each partition has one owner, by what both have said: the first may not have heard of the second yet."""
        one, two = owned(it, first), owned(it, second)
        return bool(one) and bool(two) and sorted([*one, *two]) == list(range(it.partitions))

    eventually(shared, "partitions shared out")
    return first, second


def served(worker: Worker, partitions: set[int], since: int = 0) -> bool:
    """Whether the worker handled events of these partitions, by the lines after ``since``."""
    return bool(partitions & {int(partition) for _, partition, *_ in worker.said("handled")[since:]})


def test_an_orderly_restart_disturbs_nobody(plant: Make) -> None:
    it = plant(tables="rocksdb")
    first, second = two_workers(it)
    before, mine, theirs = len(first.said("assigned")), owned(it, second), owned(it, first)
    with repeating(lambda: it.produce(FEW), EVERY_S):
        eventually(lambda: served(second, mine), "events of the second")
        assert second.stop() == 0
        handled = len(first.said("handled"))
        again = it.worker("two")
        eventually(lambda: served(again, mine), "the same partitions, served again")
        eventually(lambda: served(first, theirs, handled), "the first worker going on")
    it.wait_exact()
    assert owned(it, again) == mine
    assert len(first.said("assigned")) == before


def test_a_killed_worker_is_replaced_within_a_session_or_so(plant: Make) -> None:
    """How long it takes exactly is measured by make bench-recovery."""
    it = plant(tables="rocksdb")
    first, second = two_workers(it)
    mine = owned(it, second)
    with repeating(lambda: it.produce(FEW), EVERY_S):
        eventually(lambda: served(second, mine), "events of the second")
        handled = len(first.said("handled"))
        second.process.send_signal(signal.SIGKILL)
        eventually(lambda: served(first, mine, handled), "its partitions, served by the first", within_s=30)
    it.wait_exact()
