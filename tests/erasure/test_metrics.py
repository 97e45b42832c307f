"""Gauges of erasures."""

import pytest
from django.db import DatabaseError

from featurestore.requests.erasure import metrics
from featurestore.requests.erasure.models import ErasureStep
from featurestore.shared_metrics import SHARED
from tests.kit.clock import at
from tests.kit.erasures import UNAVAILABLE, ErasureEnvironment

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics.measure, "due_s", 0.0)
    monkeypatch.setattr(metrics.measure, "interval_s", -1)
    monkeypatch.setattr(metrics, "database_now", lambda: at(100))


def test_gauges_count_steps_by_state_and_the_longest_unavailability(erasures: ErasureEnvironment) -> None:
    erasures.places["store"].error = UNAVAILABLE
    erasures.start()
    erasures.walk_to_answer()
    metrics.measure()
    assert SHARED.get_sample_value("rapport_erasure_steps", {"state": "unavailable"}) == 1
    assert SHARED.get_sample_value("rapport_erasure_steps", {"state": "checked"}) == 3
    assert SHARED.get_sample_value("rapport_erasure_hindered_seconds") == 60
    erasures.places["store"].error = None
    erasures.walk(1000)
    metrics.measure()
    assert SHARED.get_sample_value("rapport_erasure_steps", {"state": "unavailable"}) is None
    assert SHARED.get_sample_value("rapport_erasure_hindered_seconds") == 0


def test_gauge_is_nan_without_the_database(erasures: ErasureEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def exclude(self, **_: object) -> None:
            raise DatabaseError

    monkeypatch.setattr(ErasureStep, "objects", Gone())
    metrics.measure()
    value = SHARED.get_sample_value("rapport_erasure_hindered_seconds")
    assert value != value
