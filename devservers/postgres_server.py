"""A local PostgreSQL server in a new folder, on a free port of loopback; base backups and standbys of it."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    options: tuple[str, ...] = ()  # further arguments
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://rapport@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Initialise the folder if it is new, start, and return when the server answers."""
        data = self.folder / "data"
        if not (data / "PG_VERSION").exists():  # the folder may be a disk of its own, mounted before
            self._run("initdb", "-D", data, "-U", "rapport", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        serve = ["-D", data, "-p", str(self.port), "-h", "127.0.0.1", "-k", self.folder, "-F", *self.options]
        with (self.folder / "output.log").open("ab") as log:
            self.process = subprocess.Popen(
                [_program("postgres"), *serve], stdout=log, stderr=log, cwd=self.folder, **_owner()
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

    def base_backup(self) -> "PostgresServer":
        """A server with a base backup of this one, not started. Started, it is this one as it was then."""
        return self._copied()

    def standby(self) -> "PostgresServer":
        """A streaming standby of this server, not started."""
        return self._copied("--write-recovery-conf")

    def cut_off(self) -> None:
        """Let this standby lag: it receives nothing any more, as if the network to its primary were away."""
        self.execute("ALTER SYSTEM SET primary_conninfo = ''")
        self.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.execute("SELECT count(*) FROM pg_stat_wal_receiver") != 0:
            assert time.monotonic() < deadline, "the standby still receives"
            time.sleep(0.05)

    def promote(self) -> None:
        """Make this standby a primary; return when it accepts writes."""
        assert self.execute("SELECT pg_promote(wait => true)") is True

    def dump(self, database: str, path: Path) -> None:
        """Write the statements that make a new database equal to this one."""
        with path.open("wb") as file:
            subprocess.run([_program("pg_dump"), "--dbname", self.url_of(database)], check=True, stdout=file)

    def restore(self, database: str, path: Path) -> None:
        """Run the statements of ``dump`` on a new database."""
        options = ["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--output=/dev/null"]
        subprocess.run([_program("psql"), *options, "--dbname", self.url_of(database), "--file", path], check=True)

    def copy(self, template: str, name: str) -> None:
        """Make a database that is equal to another one, which nobody uses. Its files are copied, not logged."""
        can_choose = int(self.execute("SHOW server_version_num")) >= 150_000  # before, it is the only way
        strategy = "STRATEGY file_copy" if can_choose else ""
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} {strategy}")

    def execute(self, statement: str) -> Any:
        """Run one statement; the first column of its first row, if it has any."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            done = connection.execute(statement)  # type: ignore[call-overload]
            row = done.fetchone() if done.description else None
            return row[0] if row else None

    def _copied(self, *options: str) -> "PostgresServer":
        copy = PostgresServer(port=free_port())
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "rapport", "-D", copy.folder / "data"]
        copy._run("pg_basebackup", *where, "-X", "stream", "-c", "fast", "--no-sync", *options)
        return copy

    def _run(self, program: str, *arguments: str | Path) -> None:
        """Run one of PostgreSQL's programs on this server's folder, which is its user's from then on."""
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        with (self.folder / "output.log").open("ab") as log:
            command = [_program(program), *arguments]
            subprocess.run(command, check=True, stdout=log, stderr=log, cwd=self.folder, **_owner())


def _program(name: str) -> Path:
    if not (folder := programs()):
        raise DidNotStart("PostgreSQL's server programs are not installed")
    return folder / name


def _owner() -> dict[str, Any]:
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
