"""Command-line programs: a broken pipe ends them quietly; in a terminal they log text, elsewhere JSON."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence

import pytest

from featurestore.command_output import ENDED_BY_SIGPIPE, quiet_at_a_broken_pipe
from featurestore.config import ROOT

UNREACHABLE = {
    **os.environ,
    "DJANGO_SETTINGS_MODULE": "adminsite.settings",  # the tests' own leave logs alone
    "RAPPORT_DATABASE_URL": "postgresql://127.0.0.1:1/none",
}
CHECK = ("manage.py", "check", "--database", "default")


@pytest.mark.parametrize(
    "arguments",
    [("manage.py", "features", "list"), ("manage.py", "openapi")],
    ids=lambda arguments: " ".join(arguments),
)
def test_command_ends_quietly_when_nobody_reads(arguments: Sequence[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # as `| head` closes it, only sooner
    with os.fdopen(writer, "wb") as output:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, stdout=output, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.stderr == ""
    assert done.returncode == ENDED_BY_SIGPIPE


def test_broken_connection_is_no_quiet_end() -> None:
    ended: list[int] = []
    with pytest.raises(BrokenPipeError), quiet_at_a_broken_pipe(ended.append):
        raise BrokenPipeError("a server has closed the connection")
    assert not ended


def test_topics_of_the_demos_broker_are_refused_in_one_line() -> None:
    command, embedded = [sys.executable, "-m", "streams", "topics", "plan"], {"RAPPORT_KAFKA_EMBEDDED": "true"}
    done = subprocess.run(command, cwd=ROOT, env=UNREACHABLE | embedded, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "RAPPORT_KAFKA_EMBEDDED is on: the demo's broker creates topics by itself\n"


def test_command_logs_text_in_a_terminal() -> None:
    terminal, its_end = pty.openpty()
    process = subprocess.Popen([sys.executable, *CHECK], cwd=ROOT, env=UNREACHABLE, stderr=its_end, stdout=its_end)
    os.close(its_end)
    seen = b""
    try:
        while piece := os.read(terminal, 4096):
            seen += piece
    except OSError:  # Linux' way to say that the other end is closed
        pass
    process.wait()
    os.close(terminal)
    assert b"warning database not checked reason=" in seen
    assert b"{" not in seen


def test_command_logs_json_into_a_pipe() -> None:
    done = subprocess.run([sys.executable, *CHECK], cwd=ROOT, env=UNREACHABLE, capture_output=True, text=True)
    line = json.loads(next(line for line in done.stderr.splitlines() if line.startswith("{")))
    assert (line["event"], line["level"]) == ("database not checked", "warning")
