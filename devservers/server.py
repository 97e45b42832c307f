"""Base class of local servers, and the error that one did not start."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar


class DidNotStart(RuntimeError):
    """A server did not start; the message names its log."""


class Server:
    """Base class of servers that are one child process: stopped and killed by its handle alone."""

    process: "subprocess.Popen[bytes] | None"

    def stop(self) -> None:
        """Terminate the server and wait for its end."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)

    def kill(self) -> None:
        """Kill the server, as a crash would."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=30)


class Startable(Protocol):
    """A server or a cluster of servers."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


S = TypeVar("S", bound=Startable)


@contextmanager
def running(server: S) -> Iterator[S]:
    """Start a server; stop it when the block ends, also if it did not start completely."""
    try:
        server.start()
        yield server
    finally:
        server.stop()
