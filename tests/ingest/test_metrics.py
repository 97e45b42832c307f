"""What Prometheus is told of dead letters, and what beat starts."""

from datetime import UTC, datetime, timedelta
from math import inf, isnan

import pytest
from django.db import OperationalError
from django.test import Client
from prometheus_client import REGISTRY

from featurestore.ingest import metrics, selectors, tasks
from featurestore.ingest.models import DeadLetter, DeadLetterPosition
from tests.ingest.quarantine import Quarantine


@pytest.fixture(autouse=True)
def due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_due_s", 0.0)


def told(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"rapport_dead_letters_{name}", labels)


def dead_letter(offset: int, hours: float, state: str = "open") -> DeadLetter:
    quarantined_at = datetime.now(UTC) - timedelta(hours=hours)
    told = {"decided_by": "petra", "decided_reason": "why"} if state != "open" else {}
    return DeadLetter.objects.create(
        generation=1, topic="events.orders.g1", partition=0, offset=offset, dead_letter_offset=offset, reason="invalid",
        recorded_at=quarantined_at, quarantined_at=quarantined_at, size=1, sha256="0" * 64, state=state, **told,
    )  # fmt: skip


def test_a_scrape_tells_how_many_wait_and_for_how_long(db: None, client: Client) -> None:
    dead_letter(1, hours=2)
    dead_letter(2, hours=1)
    dead_letter(3, hours=9, state="discarded")
    DeadLetterPosition.objects.create(
        generation=1, partition=0, next_offset=4, read_at=datetime.now(UTC) - timedelta(seconds=40)
    )
    page = client.get("/metrics").content.decode()
    assert 'rapport_dead_letters_waiting{reason="invalid",topic="events.orders.g1"} 2.0' in page
    assert told("oldest_seconds") == pytest.approx(7200, abs=30)
    assert told("unread_seconds") == pytest.approx(40, abs=30)


def test_without_letters_nothing_waits_and_without_a_reader_that_is_told(db: None) -> None:
    metrics.measure()
    assert told("waiting", topic="events.orders.g1", reason="invalid") is None
    assert (told("oldest_seconds"), told("unread_seconds")) == (0, inf)


def test_they_are_counted_every_15_seconds(db: None) -> None:
    metrics.measure(lambda: 100)
    dead_letter(1, hours=2)
    metrics.measure(lambda: 114)
    assert told("oldest_seconds") == 0
    metrics.measure(lambda: 115)
    assert told("oldest_seconds") == pytest.approx(7200, abs=30)


def test_without_the_database_the_other_metrics_are_told(
    db: None, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise OperationalError("no database")

    monkeypatch.setattr(selectors, "quarantine_status", away)
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert "rapport_api_requests_total" in answer.content.decode()
    oldest = told("oldest_seconds")
    assert oldest is not None
    assert isnan(oldest)


def test_beat_reads_letters_and_a_kafka_that_is_away_is_only_logged(post: Quarantine) -> None:
    (place,) = post.put(b"x")
    tasks.import_dead_letters.delay()
    tasks.prune_dead_letters.delay()
    assert selectors.find_dead_letter(place).state == "open"
    assert not selectors.unread(selectors.read_at())


def test_beat_survives_a_kafka_that_is_away(no_kafka: None) -> None:
    tasks.import_dead_letters.delay()
    tasks.prune_dead_letters.delay()
    assert selectors.unread(selectors.read_at())
