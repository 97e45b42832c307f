"""Harnesses for worker processes, closed after each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kafka.worker_harness import WorkerHarness


@pytest.fixture
def make_harness(kafka: str, tmp_path: Path) -> Iterator[Callable[..., WorkerHarness]]:
    """Function that makes a harness, with its topics, on the real Kafka."""
    made: list[WorkerHarness] = []

    def make(**options: object) -> WorkerHarness:
        made.append(WorkerHarness(kafka, tmp_path / str(len(made)), **options))  # type: ignore[arg-type]
        made[-1].folder.mkdir()
        return made[-1].make_topics()

    yield make
    for one in made:
        one.close()
