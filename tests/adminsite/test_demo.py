"""The demo from start to Ctrl-C: the commands that it prints work."""

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devservers.ports import free_port
from devservers.waiting import eventually
from featurestore.config import ROOT

READY_S = 240


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    output = tmp_path / "output"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAPPORT_")}
    environment["DJANGO_SETTINGS_MODULE"] = "adminsite.settings"
    command = [sys.executable, "manage.py", "demo", "--port", str(free_port()), "--sse-port", str(free_port())]
    with output.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file, start_new_session=True)
    yield process, output
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    process.wait(30)


def find_output(process: "subprocess.Popen[bytes]", output: Path, pattern: str, within_s: float) -> re.Match[str]:
    """The first match in what the demo printed."""

    def found() -> re.Match[str] | None:
        if "A demo is running already" in output.read_text():
            pytest.skip("a demo is running in this checkout")
        assert process.poll() is None, output.read_text()
        return re.search(pattern, output.read_text())

    return eventually(found, f"the demo prints {pattern}", within_s, 0.2)


def fresh_features(curl: str) -> dict[str, Any]:
    """The features that a read answers; none while a view's values are stale, as on a busy machine."""
    answer: dict[str, Any] = json.loads(subprocess.check_output(curl, shell=True))
    fresh = {view["status"] for view in answer["views"].values()} <= {"present", "missing"}
    return answer["features"] if fresh else {}


def remaining_processes() -> list[str]:
    """Command lines of running processes with the demo's environment."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if f"{ROOT}/var/demo/rapport.sqlite3".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found


@pytest.mark.timeout(480)
def test_demo_starts_serves_and_stops(demo: tuple["subprocess.Popen[bytes]", Path]) -> None:
    process, output = demo
    curl = find_output(process, output, r"curl -s .*", READY_S)[0]
    first = eventually(lambda: fresh_features(curl), "values are fresh")
    eventually(lambda: fresh_features(curl) not in ({}, first), "they change")
    command = find_output(process, output, r"curl -sN .*", 1)[0]
    with subprocess.Popen(command, shell=True, stdout=subprocess.PIPE, text=True, start_new_session=True) as stream:
        assert stream.stdout
        events = [line for line in itertools.islice(stream.stdout, 20) if line.startswith("event: ")]
        os.killpg(stream.pid, signal.SIGTERM)
    assert set(events) == {"event: features\n"}
    login = find_output(process, output, r"(http://\S+/admin/) +(admin) / (\S+)", 1)
    page = subprocess.check_output(["curl", "-sL", login[1]], text=True)
    assert 'name="password"' in page
    find_output(process, output, r"\d events, \d+/s \(orders \d", 20)
    assert "leaked" in output.read_text()
    assert "0 leaked" in output.read_text()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert output.read_text().endswith("Stopped.\n")
    assert remaining_processes() == []
