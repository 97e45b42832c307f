"""Back-pressure, and a broker that is away: waiting events are bounded, and the worker goes on by itself."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devservers.kafka.broker import Broker
from devservers.waiting import eventually
from streams.partition_queues import FULL_QUEUE_RECORDS
from streams.process_end import EXIT_CODE
from tests.kafka.worker_harness import WorkerHarness, WorkerProcess

MakeHarness = Callable[..., WorkerHarness]
FETCH_RECORDS = 2_000  # at most, in one fetch batch


def test_events_waiting_in_a_worker_are_bounded(make_harness: MakeHarness) -> None:
    """The backlog is half as much again as a worker may hold, and is folded slowly."""
    harness = make_harness()
    bound = harness.partitions * (FULL_QUEUE_RECORDS + FETCH_RECORDS)
    harness.produce(bound * 3 // 2)
    worker = harness.worker("one", COUNTING_SLOW_S="0.7").wait_ready()
    seen: list[float] = []

    def folded() -> bool:
        seen.append(worker.metric("rapport_stream_waiting_records"))
        return seen[-1] == 0 < max(seen)

    eventually(folded, "the backlog folded", within_s=120, every_s=0.2)
    assert FULL_QUEUE_RECORDS < max(seen) <= bound
    harness.wait_exact()


@pytest.fixture
def broker(kafka: str, tmp_path: Path) -> Iterator[Broker]:
    """A broker of this test's own, to be stopped and continued. The fixture ``kafka`` skips where none can run."""
    own = Broker(tmp_path / "kafka", short_lived=True)
    own.start()
    yield own
    assert own.process
    own.process.send_signal(signal.SIGCONT)
    own.stop()


def reports(worker: WorkerProcess, of: str) -> bool:
    ready, reasons = worker.ready()
    return not ready and any(of in reason for reason in reasons)


def exact_again(harness: WorkerHarness, worker: WorkerProcess) -> WorkerProcess:
    """The worker that counts 500 events more: a new one if this one lost its lease and ended."""
    harness.produce(500)
    eventually(lambda: harness.exact() or worker.process.poll() == EXIT_CODE, "served again, or ended", every_s=0.25)
    if worker.process.poll() is not None:
        worker = harness.worker("one", COUNTING_SLOW_S="0.5").wait_ready()
    harness.wait_exact()
    return worker


def test_workers_go_on_after_the_broker_was_away(broker: Broker, tmp_path: Path) -> None:
    """An idle worker waits for it. One that writes may have lost its lease: it ends, to be started again."""
    harness = WorkerHarness(broker.bootstrap, tmp_path / "harness", tables="rocksdb")
    harness.folder.mkdir()
    harness.make_topics()
    assert broker.process
    try:
        worker = harness.worker("one", COUNTING_SLOW_S="0.5").wait_ready()
        harness.produce(500)
        harness.wait_exact()
        broker.process.send_signal(signal.SIGSTOP)
        eventually(lambda: reports(worker, "Kafka has not answered"), "the reason")
        broker.process.send_signal(signal.SIGCONT)
        worker = exact_again(harness, worker.wait_ready())

        before = len(worker.printed("started"))
        harness.produce(500)
        eventually(lambda: len(worker.printed("started")) > before, "a fetch batch being handled")
        broker.process.send_signal(signal.SIGSTOP)
        eventually(lambda: reports(worker, "the changelog has not acknowledged a write"), "the reason")
        broker.process.send_signal(signal.SIGCONT)
        exact_again(harness, worker)
    finally:
        harness.close()
