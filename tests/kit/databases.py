"""Database of its own for each test: SQLite in a file, and PostgreSQL; both copies of a migrated template.

Not pytest-django's ``db``: services commit, and tests read from other connections and threads.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import dj_database_url
import psycopg
import pytest
from django.core.management import call_command
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

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


TEMPLATES: dict[str, str] = {}
"""Addresses of migrated databases by name, made once a process: empty, or with the shop's purposes."""


def template_url(template: str, create: Callable[[], str]) -> str:
    """The address of a template, created and migrated at its first use."""
    if template not in TEMPLATES:
        url = create()
        before, kept = connections.settings["default"], connections["default"]
        use(url)
        call_command("migrate", verbosity=0)
        ChangeSequence.objects.create(pk=1, epoch=1, at=at(-86_400))
        if not template.endswith("empty"):
            define_purposes()
        connections["default"].close()
        connections.settings["default"], connections["default"] = before, kept
        TEMPLATES[template] = url
    return TEMPLATES[template]


def define_purposes() -> None:
    services.define_purpose("service", title="Service", lawful_basis="consent")
    services.define_purpose("personalisation", title="Suggestions", lawful_basis="consent", validity_days=30)
    services.define_purpose("analytics", title="Analytics", lawful_basis="legitimate_interest")
    services.define_purpose("fraud", title="Fraud", lawful_basis="legal_obligation")
    services.define_purpose("delivery", title="Delivery", lawful_basis="contract")
    services.backfill_purposes(at(-3600))
    names = ["service", "personalisation", "analytics", "fraud", "delivery"]
    services.publish_notice("privacy", 1, "en", "What we do with your data.", names, at(-3600))


def statement(server: str, sql: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql)


@pytest.fixture(params=["sqlite", "postgres"])
def database(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[str]:
    """The kind of a new database that is the default one during the test. ``sqlite-empty`` has no purposes.

    ``pgbouncer`` is one of PostgreSQL's, through the pooler.
    """
    kind = request.param.replace("-", "_").replace("pgbouncer", "postgres")
    template, name = f"template_{kind}", f"rapport_{next(NUMBERS)}"
    before, kept = connections.settings["default"], connections["default"]
    with django_db_blocker.unblock(), ExitStack() as cleaning:
        if request.param.startswith("sqlite"):
            source = template_url(template, lambda: f"sqlite:///{tmp_path_factory.mktemp(template)}/template.sqlite3")
            shutil.copy(source.removeprefix("sqlite:///"), tmp_path / "rapport.sqlite3")
            url = f"sqlite:///{tmp_path}/rapport.sqlite3"
        else:
            server = request.getfixturevalue("postgres")

            def create() -> str:
                statement(server, f"CREATE DATABASE {template}")
                return server.replace("/postgres", f"/{template}")

            template_url(template, create)
            statement(server, f"CREATE DATABASE {name} TEMPLATE {template}")
            cleaning.callback(statement, server, f"DROP DATABASE {name} WITH (FORCE)")
            url = server.replace("/postgres", f"/{name}")
        pooled = request.param == "pgbouncer"
        use(request.getfixturevalue("pgbouncer").url_of(name) if pooled else url, pgbouncer=pooled)
        yield request.param
        connections["default"].close()
        connections.settings["default"], connections["default"] = before, kept
