"""A small shop under consent, on a real database of its own each test: SQLite in a file, and PostgreSQL.

Not pytest-django's ``db``: services commit, and tests look on from other connections and threads.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
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
from featurestore.consent.outbox import purges
from featurestore.consent.outbox.purges import Purge
from featurestore.consent.services import RecordedDecision
from featurestore.permission import Denial, PurposePermission, Permission
from featurestore.profiles.services import Registered, register
from featurestore.serving.guard import decide_access
from featurestore.store import configured
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import OnlineStore

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
SQLITE_OPTIONS = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
}
NUMBERS = count()


def at(seconds: float = 0) -> datetime:
    """So many seconds after the test's beginning."""
    return T0 + timedelta(seconds=seconds)


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def use(url: str) -> None:
    """Make a database the default one, in this and in later threads."""
    config: dict = dict(dj_database_url.parse(url))
    if config["ENGINE"].endswith("sqlite3"):
        config["OPTIONS"] = SQLITE_OPTIONS
    connections.settings["default"] = connections.configure_settings({"default": config})["default"]
    connections["default"] = connections.create_connection("default")


TEMPLATES: dict[str, str] = {}
"""Databases that each test gets a copy of, made once a run: migrated and empty, or with the shop's purposes."""


def made(template: str, create: Callable[[], str]) -> str:
    """The address of a template."""
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
    services.settle_purposes(at(-3600))
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
    """A database of the test's own, the default one meanwhile. ``sqlite-empty`` has no purposes."""
    template, name = "template_" + request.param.replace("-", "_"), f"rapport_{next(NUMBERS)}"
    before, kept = connections.settings["default"], connections["default"]
    with django_db_blocker.unblock(), ExitStack() as cleaning:
        if request.param.startswith("sqlite"):
            source = made(template, lambda: f"sqlite:///{tmp_path_factory.mktemp(template)}/template.sqlite3")
            shutil.copy(source.removeprefix("sqlite:///"), tmp_path / "rapport.sqlite3")
            url = f"sqlite:///{tmp_path}/rapport.sqlite3"
        else:
            server = request.getfixturevalue("postgres")

            def create() -> str:
                statement(server, f"CREATE DATABASE {template}")
                return server.replace("/postgres", f"/{template}")

            made(template, create)
            statement(server, f"CREATE DATABASE {name} TEMPLATE {template}")
            cleaning.callback(statement, server, f"DROP DATABASE {name} WITH (FORCE)")
            url = server.replace("/postgres", f"/{name}")
        use(url)
        yield request.param
        connections["default"].close()
        connections.settings["default"], connections["default"] = before, kept


@dataclass
class SentPurges:
    """Stands for the purge topic. ``failing`` plays a broker that refuses, ``dying`` a process that ends."""

    sent: list[Purge] = field(default_factory=list)
    failing: bool = False
    dying: bool = False

    def send(self, wanted: list[Purge]) -> dict[int, str]:
        if self.failing:
            return {purge.sequence: "broker away" for purge in wanted}
        self.sent += wanted
        if self.dying:
            raise KeyboardInterrupt
        return {}


class Clock:
    """Counts seconds when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> MemoryStore:
    """The process's store: in memory, and vouched for."""
    memory = MemoryStore(clock)
    monkeypatch.setattr(configured, "store", lambda: memory)
    vouch(memory)
    return memory


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> SentPurges:
    double = SentPurges()
    monkeypatch.setattr(purges, "purges", lambda: double)
    return double


def vouch(store: OnlineStore, epoch: int = 1, sequence: int = 0) -> None:
    run = store.run()
    assert store.write_claim(run, epoch, sequence)
    assert store.vouch(run, 1_000_000)
    ChangeSequence.objects.filter(pk=1).update(vouched_runs="/".join(run))


@pytest.fixture
def shop(database: str, store: MemoryStore, sent: SentPurges) -> "Shop":
    """A vouched store, the four purposes and their notice. Nobody is registered."""
    return Shop(store, sent)


@dataclass
class Shop:
    """What tests say in one word."""

    store: MemoryStore
    sent: SentPurges

    def register(self, customer_id: str = "ann", when: float = 0, **kwargs) -> Registered:
        return register(customer_id, "eu", "acme", now=at(when), **kwargs)

    def give(self, purpose: str = "service", when: float = 0, customer_id: str = "ann", **kwargs) -> RecordedDecision:
        kwargs = {"notice": "privacy/1/en", "method": "web", "actor": "shop"} | kwargs
        return services.give(customer_id, purpose, now=at(when), **kwargs)

    def withdraw(self, purpose: str = "service", when: float = 0, customer_id: str = "ann", **kwargs) -> RecordedDecision:
        kwargs = {"method": "web", "actor": "shop"} | kwargs
        return services.withdraw(customer_id, purpose, now=at(when), **kwargs)

    def stored(self, subject: str) -> Permission | None:
        return self.store.read([subject], [], [], 1000).subjects[0].permission

    def read(self, subject: str, purpose: str = "service", when: float = 3600) -> PurposePermission | Denial:
        """What a reader is told of a subject: the guard's word on the store's permission."""
        reading = self.store.read([subject], [], [], 1000)
        return decide_access(reading.subjects[0].permission, purpose, vouched=reading.vouched, now_ms=ms(at(when)))
