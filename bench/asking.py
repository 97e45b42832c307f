"""Asking a server (by wrk): as fast as it answers, or at a steady rate, far from what it could bear.

Clients wait for their answers before they ask again; so what they see of latency at the fastest belongs to the rate
that the server reached. Two servers are compared in latency at a steady rate that is the same for both.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SCRIPT = Path(__file__).with_name("questions.lua")


class NoLoad(Exception):
    """The load generator is not installed."""


class Question(NamedTuple):
    """Where to ask, and bodies that are sent in turn."""

    port: int
    path: str
    headers: Mapping[str, str]
    bodies: Sequence[bytes]


class Answered(NamedTuple):
    """What clients saw."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float


def rush(question: Question, connections: int, seconds: float) -> Answered:
    """Ask by some connections at once. Fails if any answer is no 2xx."""
    return _asked(question, connections, seconds, pause_ms=0)


def steady(question: Question, rate: float, connections: int, seconds: float) -> Answered:
    """Ask some ``rate`` times a second, at random moments, by connections that are idle most of the time.

    Fails if any answer is no 2xx.
    """
    return _asked(question, connections, seconds, connections / rate * 1000)


def _asked(question: Question, connections: int, seconds: float, pause_ms: float) -> Answered:
    if not (wrk := shutil.which("wrk")):
        raise NoLoad("wrk is not installed: it sends the load")
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\n".join(question.bodies) + b"\n")
        file.flush()
        headers = [f"{name}: {value}" for name, value in question.headers.items()]
        url = f"http://127.0.0.1:{question.port}{question.path}"
        options = ["-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "10s", "-s", str(SCRIPT)]
        done = subprocess.run(
            [wrk, *options, url, "--", file.name, str(pause_ms), *headers], capture_output=True, text=True, check=True
        )
    said = json.loads(done.stdout.splitlines()[-1])
    assert not said["failed"], f"{said['failed']} of {said['requests']} answers were errors: {url}"
    p50, p99, p999 = (said[name] / 1000 for name in ("p50_us", "p99_us", "p999_us"))
    return Answered(said["requests"] / said["seconds"], p50, p99, p999)
