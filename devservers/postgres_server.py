"""A local PostgreSQL server in a new folder, on a free port of loopback."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from devservers.ports import free_port
from devservers.server import DidNotStart, Server

START_TIMEOUT_S = 30


def programs() -> Path | None:
    """The folder of the newest installed PostgreSQL server programs; None without any."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = str(found[-1]) if found else shutil.which("initdb")
    return Path(initdb).parent if initdb else None


def new_folder() -> Path:
    """A folder that the user postgres may enter: PostgreSQL refuses to run as root."""
    return Path(tempfile.mkdtemp(prefix="rapport-postgres-"))


@dataclass
class PostgresServer(Server):
    """One server with its data in ``folder``. After ``kill``, ``start`` recovers as after a crash."""

    folder: Path = field(default_factory=new_folder)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"postgresql://rapport@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Initialise the folder if it is new, start, and return when the server answers."""
        bin_ = programs()
        if not bin_:
            raise DidNotStart("PostgreSQL's server programs are not installed")
        data = self.folder / "data"
        owner = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
        with (self.folder / "output.log").open("ab") as log:
            if not (data / "PG_VERSION").exists():  # the folder may be a disk of its own, mounted before
                if owner:
                    shutil.chown(self.folder, "postgres", "postgres")
                initialise = ["-U", "rapport", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
                command = [bin_ / "initdb", "-D", data, *initialise]
                subprocess.run(command, check=True, stdout=log, stderr=log, cwd=self.folder, **owner)
            serve = ["-D", data, "-p", str(self.port), "-h", "127.0.0.1", "-k", self.folder, "-F"]
            self.process = subprocess.Popen(
                [bin_ / "postgres", *serve], stdout=log, stderr=log, cwd=self.folder, **owner
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        self.kill()
        raise DidNotStart(f"PostgreSQL did not answer at {self.url}; its output is in {self.folder}")

    def stop(self) -> None:
        """Stop the server although clients are connected, and wait."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=30)
