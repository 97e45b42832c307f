"""A local PgBouncer in transaction mode before a PostgreSQL server, with two connections for everybody."""

import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from devservers.ports import free_port
from devservers.server import DidNotStart, Server

START_TIMEOUT_S = 10
CONFIGURATION = """\
[databases]
* = host=127.0.0.1 port={upstream} user=rapport
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
"""


def executable() -> str | None:
    """Path of pgbouncer; None if it is not installed."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@dataclass
class PgBouncer(Server):
    """A pooler before the server at the URL ``postgres``. Its own files are in a folder that the user postgres owns."""

    postgres: str
    port: int = field(default_factory=free_port)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="rapport-pgbouncer-")))
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def url_of(self, database: str) -> str:
        return f"postgresql://rapport@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, and return when it answers."""
        configuration = self.folder / "pgbouncer.ini"
        upstream = conninfo_to_dict(self.postgres)["port"]
        configuration.write_text(CONFIGURATION.format(upstream=upstream, port=self.port), encoding="utf-8")
        owner: dict[str, Any] = {}
        if os.getuid() == 0:  # it refuses to run as root
            shutil.chown(self.folder, "postgres", "postgres")
            owner = {"user": "postgres", "group": "postgres", "extra_groups": []}
        with (self.folder / "output.log").open("ab") as log:
            self.process = subprocess.Popen([executable() or "", configuration], stdout=log, stderr=log, **owner)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                psycopg.connect(self.url_of("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return
        self.kill()
        raise DidNotStart(f"PgBouncer did not answer at port {self.port}; its output is in {self.folder}")
