"""Metrics of the access log: pending records, the stream and its oldest entry, quarantined batches, gaps."""

from math import isnan
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError
from prometheus_client import CollectorRegistry

from featurestore.accesslog import metrics, selectors, stream
from featurestore.accesslog import writer as writer_module
from featurestore.accesslog.consumer import VANISHED_AFTER_MS
from featurestore.accesslog.stream import FIELD, KEY, QUARANTINE_KEY
from featurestore.accesslog.writer import AccessLogWriter
from featurestore.shared_metrics import SHARED
from tests.accesslog.harness import NOW_MS, ControlRedis, read
from tests.kit.access_log import MemoryStream


def sample(name: str, **labels: str) -> Any:
    return SHARED.get_sample_value(f"rapport_access_log_{name}", labels)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    """The metrics of this test's writer alone: the thread of another one in this process sets the gauge, too."""
    registry = CollectorRegistry()
    for name in ("PENDING", "SENT", "DROPPED"):
        shared = getattr(writer_module, name)
        monkeypatch.setattr(writer_module, name, type(shared)(name.lower(), name, registry=registry))
    return registry


@pytest.fixture(autouse=True)
def measurement_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics.measure, "due_s", 0.0)


@pytest.fixture
def configured_control(control: ControlRedis, monkeypatch: pytest.MonkeyPatch, redis_server: str) -> ControlRedis:
    """The settings name this control Redis."""
    conf = SimpleNamespace(control_url=redis_server)
    monkeypatch.setattr(stream, "settings", lambda: conf)
    return control


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_stream_quarantine_and_gaps_are_measured_every_15_s(configured_control: ControlRedis) -> None:
    metrics.measure(lambda: 0)
    assert (sample("stream_entries"), sample("stream_oldest_seconds"), sample("quarantined")) == (0, 0, 0)
    assert (sample("gaps", reason="lost"), sample("gaps", reason="vanished")) == (0, 0)
    configured_control.writer().flush()
    configured_control.redis.xadd(KEY, {FIELD: b"rubbish"})
    configured_control.consume()
    configured_control.consume(later_ms=VANISHED_AFTER_MS + 1000)
    now_ms, _ = configured_control.stream.server_time()
    configured_control.redis.xadd(KEY, {FIELD: b"more"}, id=f"{now_ms + 1}-0")
    metrics.measure(lambda: 14)
    assert sample("stream_entries") == 0, "measured 14 s ago"
    metrics.measure(lambda: 15)
    assert (sample("stream_entries"), sample("quarantined"), sample("gaps", reason="vanished")) == (1, 1, 1)
    assert configured_control.redis.xlen(QUARANTINE_KEY) == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_age_of_the_oldest_entry_is_measured(configured_control: ControlRedis) -> None:
    now_s = configured_control.redis.time()[0]
    configured_control.redis.xadd(KEY, {FIELD: b"old"}, id=f"{(now_s - 90) * 1000}-0")
    metrics.measure()
    assert sample("stream_oldest_seconds") == pytest.approx(90, abs=2)


def test_gauges_are_nan_without_control_redis_or_database(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise OperationalError("no database")

    monkeypatch.setattr(selectors, "gaps_by_reason", away)
    metrics.measure()
    assert isnan(sample("stream_entries"))
    assert isnan(sample("stream_oldest_seconds"))
    assert sample("gaps", reason="lost") is None


def test_process_counts_pending_sent_and_dropped_records(
    counted: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MAX_PENDING", 2)
    away = MemoryStream(available=False)
    writer = AccessLogWriter(away, 1000, lambda: NOW_MS)
    monkeypatch.setattr(writer, "start", lambda: None)
    for _ in range(3):
        read(writer)
        writer.flush()
    value = counted.get_sample_value
    assert (value("pending"), value("dropped_total")) == (2, 1)
    away.available = True
    for _ in range(20):
        writer.flush()
    assert (value("pending"), value("sent_total")) == (0, 2)
