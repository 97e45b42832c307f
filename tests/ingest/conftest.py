"""A quarantine on a real Kafka."""

from collections.abc import Iterator

import pytest

from featurestore.config import settings
from tests.ingest.quarantine import Quarantine, create_topics, generations


@pytest.fixture
def quarantine(kafka: str, db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Quarantine]:
    """Topics of a new generation, and settings that name it."""
    for name, value in {"KAFKA_BOOTSTRAP": kafka, "GENERATION": next(generations), "PARTITIONS": 4}.items():
        monkeypatch.setenv(f"RAPPORT_{name}", str(value))
    settings.cache_clear()
    create_topics(settings())
    yield Quarantine(settings())
    settings.cache_clear()


@pytest.fixture
def no_kafka(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Kafka that does not answer, with a short time limit."""
    monkeypatch.setattr("featurestore.ingest.dead_letter_topic.TIMEOUT_S", 0.5)
    assert settings().kafka_bootstrap == "127.0.0.1:1"
