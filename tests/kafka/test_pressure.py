"""More events than can be folded, and a broker that is away: the worker keeps what it has, and goes on by itself."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devservers.kafka.broker import Broker
from devservers.waiting import eventually
from streams.fatal import EXIT_CODE
from streams.partition_queues import FULL_QUEUE_RECORDS
from tests.kafka.plant import Plant, Worker

Make = Callable[..., Plant]
FETCH_RECORDS = 2_000  # at most, in one bundle


def test_what_waits_in_a_worker_is_bounded(plant: Make) -> None:
    """A backlog of half as much again as a worker may hold, folded slowly."""
    it = plant()
    bound = it.partitions * (FULL_QUEUE_RECORDS + FETCH_RECORDS)
    it.produce(bound * 3 // 2)
    worker = it.worker("one", COUNTING_SLOW_S="0.7").wait_ready()
    seen: list[float] = []

    def folded() -> bool:
        seen.append(worker.metric("rapport_stream_waiting_records"))
        return seen[-1] == 0 < max(seen)

    eventually(folded, "the backlog folded", within_s=120, every_s=0.2)
    assert FULL_QUEUE_RECORDS < max(seen) <= bound
    it.wait_exact()


@pytest.fixture
def broker(kafka: str, tmp_path: Path) -> Iterator[Broker]:
    """One of this test's own, to be stopped and continued. ``kafka`` says why there may be none."""
    own = Broker(tmp_path / "kafka")
    own.start()
    yield own
    assert own.process
    own.process.send_signal(signal.SIGCONT)
    own.stop()


def complains(worker: Worker, of: str) -> bool:
    ready, reasons = worker.ready()
    return not ready and any(of in reason for reason in reasons)


def exact_again(it: Plant, worker: Worker) -> Worker:
    """The worker that counts 500 events more: a new one, if this one found its lease lost and ended."""
    it.produce(500)
    eventually(lambda: it.exact() or worker.process.poll() == EXIT_CODE, "served again, or ended", every_s=0.25)
    if worker.process.poll() is not None:
        worker = it.worker("one", COUNTING_SLOW_S="0.5").wait_ready()
    it.wait_exact()
    return worker


def test_a_broker_that_was_away_finds_its_workers_again(broker: Broker, tmp_path: Path) -> None:
    """An idle worker waits for it. One that writes may find its lease lost: it ends, to be started again."""
    it = Plant(broker.bootstrap, tmp_path / "plant", tables="rocksdb")
    it.folder.mkdir()
    it.make_topics()
    assert broker.process
    try:
        worker = it.worker("one", COUNTING_SLOW_S="0.5").wait_ready()
        it.produce(500)
        it.wait_exact()
        broker.process.send_signal(signal.SIGSTOP)
        eventually(lambda: complains(worker, "Kafka has not answered"), "the reason")
        broker.process.send_signal(signal.SIGCONT)
        worker = exact_again(it, worker.wait_ready())

        before = len(worker.said("took"))
        it.produce(500)
        eventually(lambda: len(worker.said("took")) > before, "a bundle in hand")
        broker.process.send_signal(signal.SIGSTOP)
        eventually(lambda: complains(worker, "the changelog has not acknowledged a write"), "the reason")
        broker.process.send_signal(signal.SIGCONT)
        exact_again(it, worker)
    finally:
        it.close()
