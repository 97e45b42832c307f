"""Forked processes do what executed ones do."""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from devservers.installation import execute
from devservers.waiting import eventually
from tests.kit import forks

PROGRAM = """
import json, os, random, signal, sys
print(json.dumps({
    "argv": sys.argv, "name": __name__, "environment": dict(os.environ), "folder": os.getcwd(), "path": sys.path[-1],
    "leads its session": os.getsid(0) == os.getpid() == os.getpgid(0), "files": sorted(os.listdir("/proc/self/fd")),
    "signals": [str(signal.getsignal(one)) for one in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE)],
    "own modules": sorted(name for name in sys.modules if name.startswith(("featurestore", "streams", "adminsite"))),
    "main": sys.modules["__main__"].__dict__ is globals(), "stdin": sys.stdin.read(),
}))
print("an error", file=sys.stderr)
sys.exit(3)
"""
WAYS = [execute, forks.launch]
WAIT_S = 60


def outcome(launch: Any, arguments: Sequence[str], **more: str) -> tuple[int, str, str]:
    """Exit code, output and errors of Python with arguments."""
    environment = {
        name: value for name, value in os.environ.items() if name.startswith(("PATH", "HOME", "PYTHON"))
    } | more
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        code = launch(arguments, environment, output, errors).wait(WAIT_S)
        output.seek(0)
        errors.seek(0)
        return code, output.read(), errors.read()


@pytest.fixture(params=["file", "text"])
def arguments(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """Arguments of Python that run the program, with one of its own."""
    if request.param == "text":
        return ["-c", PROGRAM, "an argument"]
    (tmp_path / "program.py").write_text(PROGRAM)
    return [str(tmp_path / "program.py"), "an argument"]


def test_forked_process_is_what_an_executed_one_is(arguments: list[str]) -> None:
    executed, forked = (outcome(way, arguments, LC_ALL="C.UTF-8", GREETING="grüß dich") for way in WAYS)
    assert executed[0] == forked[0] == 3
    assert executed[2] == forked[2] == "an error\n"
    found, expected = json.loads(forked[1]), json.loads(executed[1])
    assert found == expected
    assert found["own modules"] == []
    assert found["environment"]["GREETING"] == "grüß dich"


def test_error_that_nobody_catches_is_printed_and_ends_the_process() -> None:
    code, _, errors = outcome(forks.launch, ["-c", "raise ValueError('no such thing')"])
    assert code == 1
    assert errors.endswith("ValueError: no such thing\n")


def test_module_gets_its_arguments() -> None:
    executed, forked = (outcome(way, ["-m", "calendar", "2026", "12"]) for way in WAYS)
    assert executed == forked
    assert forked[1].startswith("   December 2026")
    assert outcome(forks.launch, ["-m", "no_such_module"])[0] == 1


def test_variables_that_python_or_the_loader_obey_need_a_new_program() -> None:
    print_path = ["-c", "import sys; print('/somewhere' in sys.path)"]
    assert outcome(forks.launch, print_path, PYTHONPATH="/somewhere")[1] == "True\n"
    assert forks.needs_new_program({"LD_PRELOAD": "libfaketime.so"})
    assert not forks.needs_new_program({"PATH": "/bin", "RAPPORT_DEBUG": "true"})


def test_process_is_signalled_and_its_end_is_told_to_everybody_who_asks() -> None:
    with open(os.devnull, "w+") as nothing:
        process = forks.launch(["-c", "import time; time.sleep(600)"], dict(os.environ), nothing, nothing)
    assert process.poll() is None
    assert process.returncode is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.1)
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(process.wait, WAIT_S) for _ in range(3)]
        process.kill()
        assert {one.result() for one in waiting} == {-signal.SIGKILL}
    assert process.poll() == process.wait() == process.returncode == -signal.SIGKILL
    process.kill()  # it has ended: nothing is signalled
    eventually(lambda: not Path(f"/proc/{process.pid}").exists(), "no zombie stays")


def test_processes_that_start_at_once_each_tell_their_own_end() -> None:
    def exit_code(number: int) -> int:
        return outcome(forks.launch, ["-c", f"import sys; sys.exit({number})"])[0]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(exit_code, range(24))) == list(range(24))


def test_random_numbers_differ() -> None:
    program = "import os, random, uuid; print(random.random(), uuid.uuid4(), os.urandom(8))"
    printed = [outcome(forks.launch, ["-c", program])[1].split() for _ in range(2)]
    assert not set(printed[0]) & set(printed[1])


def test_processes_outlive_the_server_and_end_with_nobody_to_tell() -> None:
    server = forks.ForkServer()
    with open(os.devnull, "w+") as nothing:
        files = [nothing.fileno()] * 3
        process = server.fork(["-c", "import time; time.sleep(600)"], dict(os.environ), files)
    pid = process.pid
    server.close()
    assert server.process.wait(WAIT_S) == 0
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(AssertionError, match="the fork server ended before"):
        process.wait(WAIT_S)
