"""The demo's broker: topics by themselves, nothing on disk, no lease."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devservers.waiting import eventually
from featurestore.config import ROOT
from tests.kafka.plant import Plant


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[str]:
    file = tmp_path / "address"
    process = subprocess.Popen([sys.executable, "-m", "streams", "broker", "--address-file", str(file)], cwd=ROOT)
    eventually(file.exists, "the broker's address")
    yield file.read_text(encoding="utf-8")
    process.terminate()
    assert process.wait(30) == 0


def test_the_embedded_broker_serves_a_worker(embedded: str, tmp_path: Path) -> None:
    it = Plant(embedded, tmp_path, settings={"RAPPORT_KAFKA_EMBEDDED": "true"})
    try:
        worker = it.worker("one").wait_ready()
        it.produce(2_000)
        it.wait_exact()
        assert worker.stop() == 0
        again = it.worker("one").wait_ready()
        it.produce(500)
        it.wait_exact()
        assert sum(int(last) - int(start) + 1 for _, _, start, last in again.said("handled")) == 500
    finally:
        it.close()
