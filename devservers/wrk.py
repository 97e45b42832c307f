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

SCRIPT = Path(__file__).with_name("wrk.lua")


class WrkMissing(Exception):
    """The load generator is not installed."""


class Requests(NamedTuple):
    """Where to ask, and bodies that are sent in turn."""

    port: int
    path: str
    headers: Mapping[str, str]
    bodies: Sequence[bytes]


class LoadResult(NamedTuple):
    """What clients saw."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float


def saturate(requests: Requests, connections: int, seconds: float) -> LoadResult:
    """Ask by some connections at once. Fails if any answer is no 2xx."""
    return _run(requests, connections, seconds, pause_ms=0)


def steady(requests: Requests, rate: float, connections: int, seconds: float) -> LoadResult:
    """Ask some ``rate`` times a second, at random moments, by connections that are idle most of the time.

    Fails if any answer is no 2xx.
    """
    return _run(requests, connections, seconds, connections / rate * 1000)


def _run(requests: Requests, connections: int, seconds: float, pause_ms: float) -> LoadResult:
    if not (wrk := shutil.which("wrk")):
        raise WrkMissing("wrk is not installed: it sends the load")
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\n".join(requests.bodies) + b"\n")
        file.flush()
        headers = [f"{name}: {value}" for name, value in requests.headers.items()]
        url = f"http://127.0.0.1:{requests.port}{requests.path}"
        options = ["-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "10s", "-s", str(SCRIPT)]
        done = subprocess.run(
            [wrk, *options, url, "--", file.name, str(pause_ms), *headers], capture_output=True, text=True, check=True
        )
    said = json.loads(done.stdout.splitlines()[-1])
    assert not said["failed"], f"{said['failed']} of {said['requests']} answers were errors: {url}"
    p50, p99, p999 = (said[name] / 1000 for name in ("p50_us", "p99_us", "p999_us"))
    return LoadResult(said["requests"] / said["seconds"], p50, p99, p999)
