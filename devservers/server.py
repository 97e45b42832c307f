"""A server beside us: started by us, and stopped by its own handle alone."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar


class DidNotStart(RuntimeError):
    """A server did not start; the message says where its output is."""


class Server:
    """What a broker and a Redis have in common: how they end."""

    process: "subprocess.Popen[bytes] | None"

    def stop(self) -> None:
        """Ask it to end, and wait."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)

    def kill(self) -> None:
        """End it as a crash would."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=30)


class Startable(Protocol):
    """A server, or several that belong together."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


S = TypeVar("S", bound=Startable)


@contextmanager
def running(server: S) -> Iterator[S]:
    """The server, started; it is stopped at the block's end, also when it did not start in full."""
    try:
        server.start()
        yield server
    finally:
        server.stop()
