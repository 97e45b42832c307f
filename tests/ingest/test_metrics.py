"""Prometheus gauges and Celery tasks of dead letters."""

from datetime import UTC, datetime, timedelta
from math import inf, isnan

import pytest
from django.db import OperationalError
from django.test import Client

from featurestore.ingest import metrics, selectors, tasks
from featurestore.ingest.models import DeadLetter, DeadLetterPosition
from featurestore.shared_metrics import SHARED
from tests.ingest.quarantine import Quarantine


@pytest.fixture(autouse=True)
def measure_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics.measure, "due_s", 0.0)


def sample(name: str, **labels: str) -> float | None:
    return SHARED.get_sample_value(f"rapport_dead_letters_{name}", labels)


def dead_letter(offset: int, hours: float, state: str = "open") -> DeadLetter:
    quarantined_at = datetime.now(UTC) - timedelta(hours=hours)
    decision = {"decided_by": "petra", "decided_reason": "why"} if state != "open" else {}
    return DeadLetter.objects.create(
        generation=1, topic="events.orders.g1", partition=0, offset=offset, dead_letter_offset=offset, reason="invalid",
        recorded_at=quarantined_at, quarantined_at=quarantined_at, size=1, sha256="0" * 64, state=state, **decision,
    )  # fmt: skip


def test_metrics_report_waiting_dead_letters_and_their_age(db: None, client: Client) -> None:
    dead_letter(1, hours=2)
    dead_letter(2, hours=1)
    dead_letter(3, hours=9, state="discarded")
    DeadLetterPosition.objects.create(
        generation=1, partition=0, next_offset=4, read_at=datetime.now(UTC) - timedelta(seconds=40)
    )
    page = client.get("/metrics").content.decode()
    assert 'rapport_dead_letters_waiting{reason="invalid",topic="events.orders.g1"} 2.0' in page
    assert sample("oldest_seconds") == pytest.approx(7200, abs=30)
    assert sample("unread_seconds") == pytest.approx(40, abs=30)


def test_metrics_without_dead_letters_and_without_an_import(db: None) -> None:
    metrics.measure()
    assert sample("waiting", topic="events.orders.g1", reason="invalid") is None
    assert (sample("oldest_seconds"), sample("unread_seconds")) == (0, inf)


def test_metrics_query_the_database_every_15_seconds(db: None) -> None:
    metrics.measure(lambda: 100)
    dead_letter(1, hours=2)
    metrics.measure(lambda: 114)
    assert sample("oldest_seconds") == 0
    metrics.measure(lambda: 115)
    assert sample("oldest_seconds") == pytest.approx(7200, abs=30)


def test_other_metrics_are_served_without_the_database(
    db: None, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise OperationalError("no database")

    monkeypatch.setattr(selectors, "quarantine_status", away)
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert "rapport_api_requests_total" in answer.content.decode()
    oldest = sample("oldest_seconds")
    assert oldest is not None
    assert isnan(oldest)


def test_tasks_import_dead_letters(quarantine: Quarantine) -> None:
    (record,) = quarantine.add(b"x")
    tasks.import_dead_letters.delay()
    tasks.prune_dead_letters.delay()
    assert selectors.find_dead_letter(record).state == "open"
    assert not selectors.unread(selectors.read_at())


def test_tasks_tolerate_an_unavailable_kafka(no_kafka: None) -> None:
    tasks.import_dead_letters.delay()
    tasks.prune_dead_letters.delay()
    assert selectors.unread(selectors.read_at())
