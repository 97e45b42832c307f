"""The load generator wrk: HTTP requests as fast as a server answers, or at a steady rate far below that.

A client waits for its answer before it sends again, so a latency measured at full speed belongs to the rate that this
server reached. To compare the latency of two servers, load both at the same steady rate.
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
    """POST requests to one path of a local port; the bodies are sent in turn."""

    port: int
    path: str
    headers: Mapping[str, str]
    bodies: Sequence[bytes]


class LoadResult(NamedTuple):
    """Answers a second, and quantiles of the latency that clients measured."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float


def saturate(requests: Requests, connections: int, seconds: float) -> LoadResult:
    """Send from so many connections, each as soon as it is answered. Fails if any answer is no 2xx."""
    return _run(requests, connections, seconds, pause_ms=0)


def pace(requests: Requests, rate: float, connections: int, seconds: float) -> LoadResult:
    """Send about ``rate`` requests a second at random moments, from connections that are idle most of the time.

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
    report = json.loads(done.stdout.splitlines()[-1])
    assert not report["failed"], f"{report['failed']} of {report['requests']} answers were errors: {url}"
    p50, p99, p999 = (report[name] / 1000 for name in ("p50_us", "p99_us", "p999_us"))
    return LoadResult(report["requests"] / report["seconds"], p50, p99, p999)
