"""Admission control: limits of running and waiting requests."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from featurestore.api import admission
from featurestore.api.admission import ConcurrencyLimit
from featurestore.api.errors import Overloaded


class BlockingRequest:
    """A request that runs within a limit until ``end`` is set."""

    def __init__(self, limit: ConcurrencyLimit) -> None:
        self.limit, self.began, self.end = limit, threading.Semaphore(0), threading.Event()

    def __call__(self) -> str:
        with self.limit:
            self.began.release()
            self.end.wait(10)
        return "done"


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def test_request_above_both_limits_is_refused_at_once(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MAX_WAIT_S", 10)
    request = BlockingRequest(ConcurrencyLimit(running=2, waiting=3))
    running: list[Future[str]] = [threads.submit(request) for _ in range(5)]
    for _ in range(2):
        assert request.began.acquire(timeout=5)
    while len(request.limit._queue) < 3:
        time.sleep(0.001)
    began_s = time.perf_counter()
    with pytest.raises(Overloaded):
        request()
    assert time.perf_counter() - began_s < 5, "it did not wait for its turn"
    request.end.set()
    assert [one.result(5) for one in running] == ["done"] * 5, "the waiting requests ran"


def test_waiting_request_is_refused_after_max_wait(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "MAX_WAIT_S", 0.01)
    request = BlockingRequest(ConcurrencyLimit(running=1, waiting=3))
    running = threads.submit(request)
    assert request.began.acquire(timeout=5)
    for _ in range(5):
        with pytest.raises(Overloaded):
            request()
    request.end.set()
    assert running.result(5) == "done"
    assert request() == "done", "the limit is released"


def test_failed_request_releases_the_limit() -> None:
    limit = ConcurrencyLimit(running=1, waiting=0)
    for _ in range(3):
        with pytest.raises(KeyError), limit:
            raise KeyError


def test_longest_waiting_request_runs_next(threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_WAIT_S", 10)
    limit, served = ConcurrencyLimit(running=1, waiting=4), list[int]()

    def wait(number: int) -> None:
        with limit:
            served.append(number)

    with limit:
        waiting = []
        for number in range(4):
            waiting.append(threads.submit(wait, number))
            while len(limit._queue) <= number:
                time.sleep(0.001)
    wait(4)  # comes after those that wait
    for one in waiting:
        one.result(5)
    assert served == [0, 1, 2, 3, 4]
