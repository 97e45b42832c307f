"""Prometheus gauges of the journal."""

from datetime import timedelta
from math import inf

import pytest
from django.test import Client

from featurestore.clock import database_now
from featurestore.config import Settings
from featurestore.consent.journal import metrics
from featurestore.consent.models import JournalCheckpoint, PermissionChange
from featurestore.shared_metrics import SHARED


@pytest.fixture(autouse=True)
def measure_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics.measure, "due_s", 0.0)
    monkeypatch.setattr(metrics, "settings", lambda: Settings(journal_topic="consent.journal"))


def sample(name: str) -> float | None:
    return SHARED.get_sample_value(f"rapport_journal_{name}")


def change(sequence: int, seconds: float, **fields: object) -> None:
    at = database_now() - timedelta(seconds=seconds)
    PermissionChange.objects.create(
        sequence=sequence, subject="a" * 32, purge=False, created_at=at, next_attempt_at=at, **fields
    )


def test_metrics_report_the_changes_that_the_journal_lacks(db: None, client: Client) -> None:
    change(1, 90, journaled_at=database_now())
    change(2, 60)
    change(3, 30)
    JournalCheckpoint.objects.create(pk=1, topic="t", compared_at=database_now() - timedelta(seconds=40))
    assert "rapport_journal_waiting 2.0" in client.get("/metrics").content.decode()
    assert sample("oldest_seconds") == pytest.approx(60, abs=20)
    assert sample("uncompared_seconds") == pytest.approx(40, abs=20)


def test_metrics_without_a_comparison(db: None) -> None:
    metrics.measure()
    assert (sample("waiting"), sample("oldest_seconds"), sample("uncompared_seconds")) == (0, 0, inf)
