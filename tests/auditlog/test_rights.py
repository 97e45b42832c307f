"""Rights of the role of the processes, as docs/servers.md gives them: the log only grows, and it can be written."""

from collections.abc import Iterator
from typing import NamedTuple
from uuid import uuid4

import psycopg
import pytest
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from pytest_django.plugin import DjangoDbBlocker

from devservers.postgres_server import PostgresServer
from featurestore.auditlog import export
from featurestore.auditlog.log_verifier import Verification
from featurestore.auditlog.services import erase_contents
from tests.auditlog.conftest import write_signed
from tests.kit.databases import use
from tests.servers.rights import database_statements

KEPT = ("auditlog_leaf", "auditlog_node", "auditlog_treehead", "auditlog_signingkey")
EMPTIED = ("auditlog_waitingentry", "auditlog_entrycontent")
COLUMNS = {"auditlog_waitingentry": "content", "auditlog_entrycontent": "content", "auditlog_leaf": "root",
           "auditlog_node": "hash", "auditlog_treehead": "note", "auditlog_signingkey": "note"}  # fmt: skip


class Roles(NamedTuple):
    """Addresses of a database for its owner, who has migrated it, and for the role of the processes."""

    owner: str
    processes: str


@pytest.fixture
def roles(postgres_server: PostgresServer, django_db_blocker: DjangoDbBlocker) -> Iterator[Roles]:
    name = f"rights_{uuid4().hex[:12]}"
    before, after = ([one.replace("rapport", name) for one in part] for part in database_statements())
    own = postgres_server.url_of(name)
    made = Roles(own.replace("rapport@", f"{name}_owner@"), own.replace("rapport@", f"{name}@"))
    settings, kept = connections.settings["default"], connections["default"]
    with psycopg.connect(postgres_server.url, autocommit=True) as server, django_db_blocker.unblock():
        for statement in before:
            server.execute(statement)  # type: ignore[call-overload]
        with psycopg.connect(own, autocommit=True) as connected:
            for statement in after:
                connected.execute(statement)  # type: ignore[call-overload]
        use(made.owner)
        executor = MigrationExecutor(connections["default"])
        executor.migrate([leaf for leaf in executor.loader.graph.leaf_nodes() if leaf[0] in ("auditlog", "jobs")])
        connections["default"].close()
        use(made.processes)
        yield made
        connections["default"].close()
        connections.settings["default"], connections["default"] = settings, kept
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]
        for role in (name, f"{name}_owner"):
            server.execute(f"DROP ROLE {role}")  # type: ignore[call-overload]


def test_processes_write_the_log_and_can_change_nothing_of_it(roles: Roles) -> None:
    write_signed(3, 260)  # with a node
    assert erase_contents([1]) == 1
    assert export.verify(Verification()) == []
    changes = [f"UPDATE {table} SET {column} = {column}" for table, column in COLUMNS.items()]
    removals = [f"DELETE FROM {table}" for table in KEPT]
    for url, refusals in (
        (roles.processes, (psycopg.errors.InsufficientPrivilege,)),
        (roles.owner, (psycopg.errors.IntegrityConstraintViolation,)),
    ):
        with psycopg.connect(url, autocommit=True) as connected:
            waiting = "INSERT INTO auditlog_waitingentry (subject, salt, content) VALUES ('', '', '')"
            connected.execute(waiting)
            emptied = [f"TRUNCATE {table}" for table in KEPT]
            for statement in (*changes, *removals, *emptied):
                with pytest.raises(refusals):
                    connected.execute(statement)  # type: ignore[call-overload]
    assert export.verify(Verification()) == []
