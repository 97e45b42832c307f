"""Store verifiers as processes: their command on real servers, a rolling update, a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from featurestore.config import ROOT
from featurestore.store.cluster import ClusterStore
from featurestore.store.configured import store_at
from featurestore.store.redis import RedisStore
from tests.kit.shop import Shop

EXPIRY_MS = 3000  # longer than a busy machine pauses

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@contextmanager
def verifier(url: str, folder: Path, expiry_ms: int = EXPIRY_MS) -> Iterator[subprocess.Popen[str]]:
    """Process of ``manage.py verify_store`` on a store and the test's database. It is killed at the end."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "adminsite.settings",
        "RAPPORT_DATABASE_URL": f"sqlite:///{folder / 'rapport.sqlite3'}",
        "RAPPORT_STORE_URL": url,
        "RAPPORT_VOUCH_EXPIRY_MS": str(expiry_ms),
        "RAPPORT_LOG_LEVEL": "INFO",
    }
    process = subprocess.Popen(
        [sys.executable, "manage.py", "verify_store"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def emptied(url: str) -> RedisStore | ClusterStore:
    store = store_at(url, 1000)
    for node in store.nodes():
        node._execute([("FLUSHALL",)])  # another test's vouch key may not have expired
    return store


def is_vouched(store: RedisStore | ClusterStore) -> bool:
    return store.read([], [], [], 1000).vouched


def until_vouched(store: RedisStore | ClusterStore, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not is_vouched(store):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.05)


def until_logged(process: subprocess.Popen[str], state: str) -> None:
    """Read the process's log up to a state of its verifier."""
    assert process.stderr
    for line in process.stderr:
        if line.startswith("{") and json.loads(line).get("state") == state:
            return
    raise AssertionError(f"the process ended before it was {state}")


def end(process: subprocess.Popen[str]) -> str:
    """End a process in order; the rest of its log."""
    process.send_signal(signal.SIGTERM)
    _, logged = process.communicate(timeout=20)
    assert process.returncode == 0
    return logged


@pytest.mark.parametrize("servers", ["redis_server", "redis_cluster"])
def test_store_verifier_command_vouches_and_ends_on_sigterm(
    shop: Shop, servers: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue(servers)
    store = emptied(url)
    with verifier(url, tmp_path, 600) as process:
        until_vouched(store, process)
        logged = end(process)
    states = [json.loads(line).get("state") for line in logged.splitlines() if line.startswith("{")]
    assert [state for state in states if state][-1] == "vouching"


@pytest.mark.parametrize("servers", ["redis_server", "redis_cluster"])
def test_rolling_update_of_the_verifier_denies_no_read(
    shop: Shop, servers: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue(servers)
    store = emptied(url)
    with verifier(url, tmp_path) as old, verifier(url, tmp_path) as new:
        until_vouched(store, old)
        for process in (old, new):  # whichever was the first
            if "another store verifier holds the lease" in _first_state(process):
                standby = process
        leaving = old if standby is new else new
        incarnations = [node.incarnation for node in store.read([], [], [], 1000).nodes]
        end(leaving)
        deadline = time.monotonic() + 2 * EXPIRY_MS / 1000
        while time.monotonic() < deadline:
            assert is_vouched(store)
            time.sleep(0.05)
        assert [node.incarnation for node in store.read([], [], [], 1000).nodes] == incarnations
        end(standby)


def _first_state(process: subprocess.Popen[str]) -> str:
    assert process.stderr
    for line in process.stderr:
        if line.startswith("{") and (state := json.loads(line).get("state")):
            return str(state)
    raise AssertionError("the process ended")


def test_killed_verifier_is_replaced_after_its_vouch_key_has_expired(
    shop: Shop, redis_server: str, tmp_path: Path
) -> None:
    store = emptied(redis_server)
    with verifier(redis_server, tmp_path) as first:
        until_vouched(store, first)
        with verifier(redis_server, tmp_path) as second:
            until_logged(second, "another store verifier holds the lease")
            first.kill()
            killed_s = time.monotonic()
            until_logged(second, "vouching")
            until_vouched(store, second)
            assert time.monotonic() - killed_s >= EXPIRY_MS / 1000 - 1
            end(second)
