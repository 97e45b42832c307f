"""Folder of a server's sockets: only its user's, made anew, without those of servers that have ended."""

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, generate_latest
from prometheus_client.registry import Collector

from featurestore.api import process_metrics
from featurestore.api.process_metrics import DECODER, ENCODER, Labelled, families, folder_of, is_own, make_folder

ENDED = 2**22 + 1  # above Linux' largest process id


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_folder_is_made_and_those_of_ended_servers_are_removed() -> None:
    for left in (ENDED, os.getpid(), os.getppid()):
        folder_of(left).mkdir(mode=0o700)
        (folder_of(left) / "1").touch()
    made = make_folder()
    assert made == folder_of(os.getpid())
    assert list(made.iterdir()) == [], "an earlier server had the same process id"
    assert not folder_of(ENDED).exists()
    assert folder_of(os.getppid()).exists(), "a process of that id runs"


def test_folder_that_others_may_enter_is_not_used(temporary: Path) -> None:
    foreign = folder_of(os.getpid())
    foreign.mkdir(mode=0o777)
    foreign.chmod(0o777)
    assert not is_own(foreign)
    assert make_folder() is None
    assert not is_own(temporary / "nothing")


def test_process_of_no_server_tells_its_own_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_metrics, "REGISTRY", registry := CollectorRegistry())
    Counter("told", "Told.", registry=registry).inc()
    assert b"told_total 1.0" in process_metrics.process_metrics()


def test_samples_of_several_processes_differ_by_their_process() -> None:
    by_process = {}
    for process, count in (("7", 2), ("8", 3)):
        registry = CollectorRegistry()
        Counter("asked", "Asked.", ["route"], registry=registry).labels("a").inc(count)
        Gauge("open", "Open.", registry=registry).set(float("inf"))
        by_process[process] = DECODER.decode(ENCODER.encode(families(registry.collect())))
    merged = CollectorRegistry(auto_describe=False)
    merged.register(Labelled(by_process))
    text = generate_latest(merged).decode()
    assert text.count("# TYPE asked_total counter") == 1
    assert 'asked_total{process="7",route="a"} 2.0' in text
    assert 'asked_total{process="8",route="a"} 3.0' in text
    assert 'open{process="8"} +Inf' in text


def test_fork_waits_until_no_metric_is_locked_by_a_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Celery worker forks task processes while its metrics are asked for."""
    metric, entered, released = threading.Lock(), threading.Event(), threading.Event()

    class Locking(Collector):
        def collect(self) -> Iterator[Metric]:
            with metric:
                entered.set()
                released.wait(30)
            yield from ()

    monkeypatch.setattr(process_metrics, "REGISTRY", registry := CollectorRegistry(auto_describe=False))
    registry.register(Locking())
    scrape = threading.Thread(target=process_metrics.own_families)
    scrape.start()
    assert entered.wait(30)
    threading.Timer(0.2, released.set).start()
    if not (child := os.fork()):
        os._exit(0 if metric.acquire(timeout=5) else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    scrape.join()
