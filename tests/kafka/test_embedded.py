"""Embedded broker of the demo: it creates topics by itself, stores nothing on disk, and has no lease."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devservers.waiting import eventually
from featurestore.config import ROOT
from tests.kafka.worker_harness import WorkerHarness


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[str]:
    file = tmp_path / "address"
    process = subprocess.Popen([sys.executable, "-m", "streams", "broker", "--address-file", str(file)], cwd=ROOT)
    eventually(file.exists, "the broker's address")
    yield file.read_text(encoding="utf-8")
    process.terminate()
    assert process.wait(30) == 0


def test_embedded_broker_serves_a_worker(embedded: str, tmp_path: Path) -> None:
    harness = WorkerHarness(embedded, tmp_path, settings={"RAPPORT_KAFKA_EMBEDDED": "true"})
    try:
        worker = harness.worker("one").wait_ready()
        harness.produce(2_000)
        harness.wait_exact()
        assert worker.stop() == 0
        again = harness.worker("one").wait_ready()
        harness.produce(500)
        harness.wait_exact()
        assert sum(int(last) - int(start) + 1 for _, _, start, last in again.printed("handled")) == 500
    finally:
        harness.close()
