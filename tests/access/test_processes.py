"""Changes of credentials across real processes: effective at once by the control Redis, in 2 s without it."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from redis import Redis

from devservers.installation import Installation, installation, migrated_postgres
from devservers.postgres_server import PostgresServer
from devservers.waiting import eventually
from featurestore.access.cache_invalidation import CHANNEL
from tests.kit import forks

STDERR = 2
NO_REDIS = "redis://127.0.0.1:1/1"
CHANGER = """
from featurestore.access import oauth, services
from featurestore.access.models import ApiClient
may = dict(services=["support_chat"], purposes=["service"], scopes=["features:read"], actor="tests")

def make(name):
    bot = services.create_client(name, owner="tests", actor="tests")
    services.allow(bot, **may)
    form = f"grant_type=client_credentials&client_id={name}&client_secret=" + services.create_secret(bot, actor="t")[1]
    server = oauth.server(time.time_ns() // 1_000_000, {}, lambda credential: None)
    token = json.loads(server.create_token_response("/oauth", "POST", form, {})[1])["access_token"]
    return [services.create_key(bot, **may)[1], token]

def change(what):
    bot = ApiClient.objects.get(name=what)
    match what:
        case "key":
            services.revoke(bot.keys.get(), actor="tests")
        case "secret":
            services.revoke(bot.secrets.get(), actor="tests")
        case "tokens":
            services.revoke_tokens(bot, actor="tests")
        case "client":
            bot.active = False
            services.save_client(bot, actor="tests")
"""
READER = """
from featurestore.access import credential_cache
from featurestore.access.selectors import credential
credential_cache.CACHED_S = {cached_s}

def states(*texts):
    found = [credential(text, time.time_ns() // 1_000_000) for text in texts]
    return ["valid" if isinstance(one, credential_cache.Credential) else one for one in found]

def read_by_threads(count, text):
    # Each thread reads the database, and then stays alive.
    stay, answers = threading.Event(), []

    def read(done):
        credential_cache.credential_cache.invalidate()
        answers.extend(states(text))
        done.set()
        stay.wait(60)

    for _ in range(count):
        done = threading.Event()
        threading.Thread(target=read, args=[done], daemon=True).start()
        done.wait(60)
    return answers
"""
SERVE_CALLS = """
import json, sys, threading, time
import django
django.setup()
{functions}
for line in sys.stdin:
    name, *arguments = json.loads(line)
    print(json.dumps(globals()[name](*arguments)), flush=True)
"""
CHANGES = {
    "key": ["revoked", "valid"],
    "secret": ["valid", "revoked"],
    "tokens": ["valid", "revoked"],
    "client": ["inactive_client", "inactive_client"],
}
"""States of the key and the token of the client with this name, after the change with this name."""


class RemoteProcess:
    """A process of the installation that runs one of its functions on request."""

    def __init__(self, made: Installation, functions: str) -> None:
        command = ["-c", SERVE_CALLS.format(functions=functions)]
        ours, theirs = socket.socketpair()
        with ours, theirs:
            files = [theirs.fileno(), theirs.fileno(), STDERR]
            self.process = forks.fork_server().fork(command, made.environment, files)
            self.calls, self.answers = ours.makefile("w"), ours.makefile("r")

    def call(self, name: str, *arguments: Any) -> Any:
        self.calls.write(json.dumps([name, *arguments]) + "\n")
        self.calls.flush()
        return json.loads(self.answers.readline())

    def stop(self) -> None:
        self.calls.close()
        self.answers.close()
        self.process.wait(10)


Start = Callable[[str, float], tuple[RemoteProcess, list[RemoteProcess]]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """One process that changes credentials, and two that cache them for a time."""
    running: list[RemoteProcess] = []
    with installation(tmp_path, kafka="127.0.0.1:1", store="redis://127.0.0.1:1/0") as made:

        def opened(control_url: str, cached_s: float) -> tuple[RemoteProcess, list[RemoteProcess]]:
            made.environment["RAPPORT_CONTROL_URL"] = control_url
            made.prepare_database()
            running.append(RemoteProcess(made, CHANGER))
            running.extend(RemoteProcess(made, READER.format(cached_s=cached_s)) for _ in range(2))
            return running[0], running[1:]

        yield opened
        for process in running:
            process.stop()


def test_change_reaches_every_process_at_once(redis_server: str, start: Start) -> None:
    """They cache credentials for an hour: only an invalidation message can empty the cache."""
    changer, readers = start(redis_server, 3600)
    texts = {what: changer.call("make", what) for what in CHANGES}
    for reader in readers:
        reader.call("states", "")
    eventually(lambda: listeners(redis_server) == 3, "all listen, the changing process too")
    for what, expected in CHANGES.items():
        assert [reader.call("states", *texts[what]) for reader in readers] == [["valid", "valid"]] * 2
        changer.call("change", what)
        for reader in readers:
            eventually(lambda: reader.call("states", *texts[what]) == expected, f"{what} takes effect")  # noqa: B023


def test_change_takes_two_seconds_without_the_control_redis(start: Start) -> None:
    changer, readers = start(NO_REDIS, 2.0)
    texts = {what: changer.call("make", what) for what in CHANGES}
    for what in CHANGES:
        assert [reader.call("states", *texts[what]) for reader in readers] == [["valid", "valid"]] * 2
    for what in CHANGES:
        changer.call("change", what)
    for what, expected in CHANGES.items():
        for reader in readers:
            eventually(lambda: reader.call("states", *texts[what]) == expected, f"{what} takes effect", within_s=5)  # noqa: B023


def test_idle_threads_hold_no_database_connection(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """As on the fast path, where no Django request closes the connections."""
    url = postgres_server.url_of("access_threads")
    with psycopg.connect(postgres_server.url, autocommit=True) as server:
        server.execute("CREATE DATABASE access_threads")
        postgres_server.restore("access_threads", migrated_postgres(postgres_server))
        with installation(tmp_path, kafka="127.0.0.1:1", store=NO_REDIS, database=url) as made:
            made.environment["RAPPORT_CONTROL_URL"] = NO_REDIS
            made.prepare_database()
            changer, reader = RemoteProcess(made, CHANGER), RemoteProcess(made, READER.format(cached_s=3600))
            key, token = changer.call("make", "bot")
            changer.stop()
            for text in (key, token):
                assert reader.call("read_by_threads", 8, text) == ["valid"] * 8
            open_ones = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'access_threads'"
            eventually(lambda: server.execute(open_ones).fetchone() == (0,), "every connection is closed", within_s=5)
            reader.stop()
        server.execute("DROP DATABASE access_threads WITH (FORCE)")


def listeners(control_url: str) -> int:
    with Redis.from_url(control_url) as redis:
        return int(redis.pubsub_numsub(CHANNEL)[0][1])
