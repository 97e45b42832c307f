"""Asking a server: as fast as it answers (wrk), or at a steady rate, each answer counted from when it was due.

wrk's clients wait for their answers before they ask again; so what they see of latency belongs to the rate that the
server reached. Two servers are compared in latency at a rate that both can bear.
"""

import http.client
import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

SCRIPT = Path(__file__).with_name("questions.lua")
ASKERS = 8  # threads of the steady load; two dozen requests are never open at once


class NoLoad(Exception):
    """The load generator is not installed."""


class Question(NamedTuple):
    """Where to ask, and bodies that are sent in turn."""

    port: int
    path: str
    headers: Mapping[str, str]
    bodies: Sequence[bytes]


class Rush(NamedTuple):
    """What clients saw who asked as fast as they were answered."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float


def rush(question: Question, connections: int, seconds: float) -> Rush:
    """Ask by some connections at once. Fails if any answer is no 2xx."""
    if not (wrk := shutil.which("wrk")):
        raise NoLoad("wrk is not installed: it sends the load")
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\n".join(question.bodies) + b"\n")
        file.flush()
        headers = [f"{name}: {value}" for name, value in question.headers.items()]
        url = f"http://127.0.0.1:{question.port}{question.path}"
        options = ["-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "10s", "-s", str(SCRIPT)]
        done = subprocess.run(
            [wrk, *options, url, "--", file.name, *headers], capture_output=True, text=True, check=True
        )
    said = json.loads(done.stdout.splitlines()[-1])
    assert not said["failed"], f"{said['failed']} of {said['requests']} answers were errors: {url}"
    p50, p99, p999 = (said[name] / 1000 for name in ("p50_us", "p99_us", "p999_us"))
    return Rush(said["requests"] / said["seconds"], p50, p99, p999)


def steady(question: Question, rate: float, seconds: float) -> list[float]:
    """Milliseconds from when each request was due to its answer, at random moments of a mean rate, sorted."""
    random = Random(1)
    due, at = [], 0.0
    while (at := at + random.expovariate(rate)) < seconds:
        due.append(at)
    took_ms: list[float] = []
    turns = iter(enumerate(due))
    lock, failures = threading.Lock(), list[str]()
    began = time.perf_counter() + 0.2

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", question.port, timeout=10)
        while not failures:
            with lock:
                turn = next(turns, None)
            if turn is None:
                return
            number, moment = turn
            time.sleep(max(began + moment - time.perf_counter(), 0))
            body = question.bodies[number % len(question.bodies)]
            try:
                connection.request("POST", question.path, body, dict(question.headers))
                answer = connection.getresponse()
                answer.read()
            except OSError as error:
                failures.append(repr(error))
                return
            if answer.status != 200:
                failures.append(f"status {answer.status}")
            took_ms.append((time.perf_counter() - began - moment) * 1000)

    askers = [threading.Thread(target=ask) for _ in range(ASKERS)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert not failures, failures[0]
    return sorted(took_ms)
