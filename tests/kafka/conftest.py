"""Plants for tests, closed after each."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kafka.plant import Plant


@pytest.fixture
def plant(kafka: str, tmp_path: Path) -> Iterator[Callable[..., Plant]]:
    """Makes a plant, with its topics, on the real Kafka."""
    made: list[Plant] = []

    def make(**options: object) -> Plant:
        made.append(Plant(kafka, tmp_path / str(len(made)), **options))  # type: ignore[arg-type]
        made[-1].folder.mkdir()
        return made[-1].make_topics()

    yield make
    for one in made:
        one.close()
