"""Database of its own for each test: SQLite in a file, and PostgreSQL; both copies of a migrated template.

Not pytest-django's ``db``: services commit, and tests read from other connections and threads.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import dj_database_url
import pytest
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from devservers.installation import made_once, migrated_postgres, migrated_sqlite
from devservers.postgres_server import PostgresServer
from featurestore.auditlog.models import WaitingEntry
from featurestore.consent import services
from featurestore.consent.models import ChangeSequence
from featurestore.servers.database import django_database
from tests.kit.clock import at

SQLITE_OPTIONS = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
}
NUMBERS = count()


def use(url: str, *, pgbouncer: bool = False) -> None:
    """Make a database the default one, in this and in later threads."""
    config: dict = django_database(url, pgbouncer) if pgbouncer else dict(dj_database_url.parse(url))
    if config["ENGINE"].endswith("sqlite3"):
        config["OPTIONS"] = SQLITE_OPTIONS
    connections.settings["default"] = connections.configure_settings({"default": config})["default"]
    connections["default"] = connections.create_connection("default")


TEMPLATES = set[str]()
"""Addresses of the migrated databases of this process: empty, or with the shop's purposes."""


def fill(url: str, *, purposes: bool) -> None:
    """Give a migrated database what every test expects: a change sequence, and the shop's purposes."""
    before, kept = connections.settings["default"], connections["default"]
    use(url)
    ChangeSequence.objects.create(pk=1, epoch=1, at=at(-86_400))
    if purposes:
        define_purposes()
    WaitingEntry.objects.all().delete()  # the audit log begins with the test
    connections["default"].close()
    connections.settings["default"], connections["default"] = before, kept


def sqlite_template(*, purposes: bool = True) -> Path:
    """A database to copy, made once a run."""

    def make(path: Path) -> None:
        shutil.copy(migrated_sqlite(), path)
        fill(f"sqlite:///{path}", purposes=purposes)

    return made_once("with_purposes.sqlite3" if purposes else "empty.sqlite3", make)


def postgres_template(server: PostgresServer, *, purposes: bool = True) -> str:
    """The name of a database to copy, made once a server."""
    name = "with_purposes" if purposes else "empty"
    if (url := server.url_of(name)) not in TEMPLATES:
        server.execute(f"CREATE DATABASE {name}")
        server.restore(name, migrated_postgres(server))
        fill(url, purposes=purposes)
        TEMPLATES.add(url)
    return name


def define_purposes() -> None:
    services.define_purpose("service", title="Service", lawful_basis="consent")
    services.define_purpose("personalisation", title="Suggestions", lawful_basis="consent", validity_days=30)
    services.define_purpose("analytics", title="Analytics", lawful_basis="legitimate_interest")
    services.define_purpose("fraud", title="Fraud", lawful_basis="legal_obligation")
    services.define_purpose("delivery", title="Delivery", lawful_basis="contract")
    services.backfill_purposes(at(-3600))
    names = ["service", "personalisation", "analytics", "fraud", "delivery"]
    services.publish_notice("privacy", 1, "en", "What we do with your data.", names, at(-3600))


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """The kind of a new database that is the default one during the test. ``sqlite-empty`` has no purposes.

    ``pgbouncer`` is one of PostgreSQL's, through the pooler.
    """
    purposes, name = not request.param.endswith("-empty"), f"rapport_{next(NUMBERS)}"
    before, kept = connections.settings["default"], connections["default"]
    with django_db_blocker.unblock(), ExitStack() as cleaning:
        if request.param.startswith("sqlite"):
            shutil.copy(sqlite_template(purposes=purposes), tmp_path / "rapport.sqlite3")
            url = f"sqlite:///{tmp_path}/rapport.sqlite3"
        else:
            server: PostgresServer = request.getfixturevalue("postgres_server")
            server.copy(postgres_template(server, purposes=purposes), name)
            cleaning.callback(server.execute, f"DROP DATABASE {name} WITH (FORCE)")
            url = server.url_of(name)
        pooled = request.param == "pgbouncer"
        use(request.getfixturevalue("pgbouncer").url_of(name) if pooled else url, pgbouncer=pooled)
        yield request.param
        connections["default"].close()
        connections.settings["default"], connections["default"] = before, kept
