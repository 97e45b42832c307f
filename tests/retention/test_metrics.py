"""Gauges of evictions and of the store's memory."""

import math

import pytest

from featurestore.retention import metrics
from featurestore.retention.models import EvictionRun
from featurestore.shared_metrics import SHARED
from featurestore.store.memory import MemoryStore
from tests.kit.clock import at

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def value(name: str, **labels: str) -> float | None:
    return SHARED.get_sample_value(name, labels)


@pytest.fixture(autouse=True)
def due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics.measure, "due_s", 0.0)


def test_figures_of_the_last_run_and_the_memory_of_each_node(database: str, store: MemoryStore) -> None:
    EvictionRun.objects.create(started_at=at(), idle_days=30, finished_at=at(60), evicted=7, freed_bytes=700)
    EvictionRun.objects.create(started_at=at(1), idle_days=30, finished_at=at(90), evicted=9, dry_run=True)
    EvictionRun.objects.create(started_at=at(2), idle_days=30, evicted=1)
    metrics.measure()
    assert (value("rapport_evicted_subjects"), value("rapport_evicted_bytes")) == (7, 700)
    assert (value("rapport_eviction_age_seconds") or 0) > 0
    assert value("rapport_store_memory_bytes", node="store") == 0
    assert value("rapport_store_memory_limit_bytes", node="store") == 0


def test_what_can_not_be_read_is_unknown(database: str, store: MemoryStore) -> None:
    store.available = False
    metrics.measure()
    assert math.isnan(value("rapport_evicted_subjects") or 0)
    assert value("rapport_store_memory_bytes", node="store") is None
