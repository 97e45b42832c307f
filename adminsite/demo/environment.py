"""Folder, settings and database of the demo."""

import fcntl
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from adminsite.demo.credentials import Credentials
from adminsite.demo.servers import ServerAddresses
from featurestore.config import ROOT

FOLDER = ROOT / "var" / "demo"
LOGS = FOLDER / "logs"
ENVIRONMENT = FOLDER / "environment"
CREDENTIALS = FOLDER / "credentials.json"


class DemoError(Exception):
    """The demo can't start; the message states what to do."""


@contextmanager
def empty_folder() -> Iterator[None]:
    """Empty the demo's folder and lock it against a second demo. Raises DemoError."""
    FOLDER.parent.mkdir(exist_ok=True)
    with FOLDER.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DemoError("A demo is running already in this folder: stop it first.") from error
        shutil.rmtree(FOLDER, ignore_errors=True)
        LOGS.mkdir(parents=True)
        yield


def environment_variables(servers: ServerAddresses, health_port: int) -> dict[str, str]:
    """The environment of every process: this one's with the demo's settings, which a file has too, for terminals.

    The broker starts empty, so the generation of topics is new: the time.
    """
    own = {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "SUBJECT_SECRET": secrets.token_urlsafe(48),
        "CONTACT_KEY": secrets.token_urlsafe(48),
        "SUPPRESSION_KEYS": f"1:{secrets.token_urlsafe(48)}",
        "AUDIT_LOG_KEYS": f"1:{secrets.token_urlsafe(48)}",
        "WRAPPING_KEYS": f"1:{secrets.token_urlsafe(48)}",
        "KEY_STORE_URL": f"sqlite:///{FOLDER / 'keys.sqlite3'}",
        "DATABASE_URL": f"sqlite:///{FOLDER / 'rapport.sqlite3'}",
        "STORE_URL": f"redis://127.0.0.1:{servers.redis_port}/0",
        "CONTROL_URL": f"redis://127.0.0.1:{servers.redis_port}/1",
        "KAFKA_BOOTSTRAP": servers.kafka,
        "KAFKA_EMBEDDED": "true",
        "PARTITIONS": "4",
        "GENERATION": str(int(time.time())),
        "STREAM_TABLES": "memory",
        "STREAM_DATA_DIR": str(FOLDER / "streams"),
        "STREAM_HEALTH_PORT": str(health_port),
        "STREAM_LEASE": "false",
        "SECOND_FACTOR": "optional",
    }
    lines = [f"RAPPORT_{name}={shlex.quote(value)}\n" for name, value in own.items()]
    with os.fdopen(os.open(ENVIRONMENT, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(lines)
    inherited = dict(os.environ)  # noqa: TID251  (passed on, not read)
    return inherited | {f"RAPPORT_{name}": value for name, value in own.items()}


def create_database(environment: dict[str, str], url: str) -> Credentials:
    """Create and fill the database. Raises DemoError."""
    output = LOGS / "seed.log"
    command = [sys.executable, "-m", "adminsite", "seed_demo", str(CREDENTIALS), "--url", url]
    with output.open("wb") as log:
        ended = subprocess.run(command, env=environment, cwd=ROOT, stdout=log, stderr=log, check=False)
    if ended.returncode:
        raise DemoError(f"The database could not be created; the output is in {output}")
    return Credentials.load(CREDENTIALS)
