"""What Prometheus is told of access records: what waits, for how long, what was put aside, what is missing."""

from math import isnan
from typing import Any

import pytest
from django.db import OperationalError
from prometheus_client import REGISTRY

from featurestore.accesslog import metrics, selectors, stream
from featurestore.accesslog import writer as writer_module
from featurestore.accesslog.consumer import VANISHED_AFTER_MS
from featurestore.accesslog.stream import FIELD, KEY, QUARANTINE_KEY
from featurestore.accesslog.writer import AccessLogWriter
from tests.accesslog.harness import NOW_MS, Control, MemoryStream, read


def told(name: str, **labels: str) -> Any:
    return REGISTRY.get_sample_value(f"rapport_access_log_{name}", labels)


@pytest.fixture(autouse=True)
def due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_due_s", 0.0)


@pytest.fixture
def here(control: Control, monkeypatch: pytest.MonkeyPatch, redis_server: str) -> Control:
    """The settings name this control Redis."""
    named = type("Named", (), {"control_url": redis_server})
    monkeypatch.setattr(stream, "settings", lambda: named)
    return control


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_scrape_tells_what_waits_what_is_aside_and_what_is_missing(here: Control) -> None:
    metrics.measure(lambda: 0)
    assert (told("stream_entries"), told("stream_oldest_seconds"), told("quarantined")) == (0, 0, 0)
    assert (told("gaps", reason="lost"), told("gaps", reason="vanished")) == (0, 0)
    here.writer().flush()
    here.redis.xadd(KEY, {FIELD: b"rubbish"})
    here.consume()
    here.consume(later_ms=VANISHED_AFTER_MS + 1000)
    now_ms, _ = here.stream.server_time()
    here.redis.xadd(KEY, {FIELD: b"more"}, id=f"{now_ms + 1}-0")
    metrics.measure(lambda: 14)
    assert told("stream_entries") == 0, "every 15 seconds"
    metrics.measure(lambda: 15)
    assert (told("stream_entries"), told("quarantined"), told("gaps", reason="vanished")) == (1, 1, 1)
    assert here.redis.xlen(QUARANTINE_KEY) == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_age_of_the_oldest_is_told(here: Control) -> None:
    now_s = here.redis.time()[0]
    here.redis.xadd(KEY, {FIELD: b"old"}, id=f"{(now_s - 90) * 1000}-0")
    metrics.measure()
    assert told("stream_oldest_seconds") == pytest.approx(90, abs=2)


def test_without_control_redis_or_database_they_do_not_know(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise OperationalError("no database")

    monkeypatch.setattr(selectors, "gaps_by_reason", away)
    metrics.measure()
    assert isnan(told("stream_entries"))
    assert isnan(told("stream_oldest_seconds"))
    assert told("gaps", reason="lost") is None


def test_a_process_tells_what_it_has_not_sent_and_what_it_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_PENDING", 2)
    away = MemoryStream(available=False)
    writer = AccessLogWriter(away, 1000, lambda: NOW_MS)
    monkeypatch.setattr(writer, "start", lambda: None)
    before, sent = told("dropped_total"), told("sent_total")
    for _ in range(3):
        read(writer)
        writer.flush()
    assert (told("pending"), told("dropped_total") - before) == (2, 1)
    away.available = True
    for _ in range(20):
        writer.flush()
    assert (told("pending"), told("sent_total") - sent) == (0, 2)
