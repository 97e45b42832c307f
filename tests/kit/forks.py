"""Python processes that are forked from one that has imported the libraries: each starts a second of work sooner.

A run starts hundreds of processes of the project. They do what a user's do from the import of the project's own modules
on. Tests of the installed package, the containers and the command line start Python as users do.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

from devservers.installation import execute
from featurestore.config import ROOT

OBEYED_AT_START = ("PYTHON", "LD_", "MALLOC_")
"""Beginnings of variables that Python, the loader and the C library read when a program starts."""
END_BYTES = 16


class ForkedProcess:
    """Handle of a forked process: what Installation and its users need of Popen."""

    def __init__(self, arguments: Sequence[str], answers: socket.socket) -> None:
        self.args, self._answers = arguments, answers
        self.pid = int(self._answer(None, 0) or 0)

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        """Its exit code, or the negative number of the signal that ended it; None while it runs."""
        answer = self._answer(0, socket.MSG_PEEK)  # it stays for whoever asks next, in whatever thread
        return None if answer is None else int(answer)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit code. Raises subprocess.TimeoutExpired."""
        if (answer := self._answer(timeout, socket.MSG_PEEK)) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return int(answer)

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _answer(self, timeout_s: float | None, flags: int) -> bytes | None:
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        if not poll.poll(None if timeout_s is None else timeout_s * 1000):
            return None
        answer = self._answers.recv(END_BYTES, flags)
        assert answer, f"the fork server ended before {self.args}"
        return answer


class ForkServer:
    """The process that forks (tests/kit/fork_server.py). It ends with this one."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "tests.kit.fork_server", str(theirs.fileno())]
            environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, pass_fds=[theirs.fileno()], start_new_session=True
            )

    def fork(
        self, arguments: Sequence[str], environment: Mapping[str, str], files: Sequence[int], folder: Path = ROOT
    ) -> ForkedProcess:
        """Fork a process with arguments of Python, and its standard input, output and errors."""
        request = {"arguments": [*arguments], "environment": dict(environment), "folder": str(folder)}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, open(os.memfd_create("request"), "w+", encoding="utf-8") as text:
            json.dump(request, text)
            text.seek(0)
            socket.send_fds(self._requests, [b"?"], [text.fileno(), *files, theirs.fileno()])
        return ForkedProcess(arguments, ours)

    def close(self) -> None:
        """Let it end, if nobody asks. Processes go on."""
        self._requests.close()


@cache
def fork_server() -> ForkServer:
    """The one of this process."""
    return ForkServer()


def needs_new_program(environment: Mapping[str, str]) -> bool:
    """Whether an environment has variables that only a new program obeys, and that differ from this process's."""
    obeyed = [name for name in environment if name.startswith(OBEYED_AT_START)]
    return any(environment[name] != os.environ.get(name) for name in obeyed)


def launch(
    arguments: Sequence[str], environment: Mapping[str, str], output: IO[Any], errors: IO[Any]
) -> "ForkedProcess | subprocess.Popen[bytes]":
    """As ``installation.execute``."""
    if needs_new_program(environment):
        return execute(arguments, environment, output, errors)
    with Path(os.devnull).open("rb") as nothing:
        return fork_server().fork(arguments, environment, [nothing.fileno(), output.fileno(), errors.fileno()])
