"""Fixtures of the model: a database in memory, and a machine with two customers."""

import logging
import sqlite3
from collections.abc import Iterator

import pytest
from django.db import connections
from pytest_django.plugin import DjangoDbBlocker

from tests.kit import databases
from tests.model.machine import Machine


@pytest.fixture(scope="module")
def template(django_db_blocker: DjangoDbBlocker) -> Iterator[sqlite3.Connection]:
    """A migrated database with purposes. Meanwhile the default one is in memory, and nothing is logged."""
    before, kept = connections.settings["default"], connections["default"]
    logging.disable(logging.CRITICAL)  # thousands of lines an example
    with django_db_blocker.unblock():
        path = databases.sqlite_template()
        databases.use("sqlite://:memory:")
        connections["default"].ensure_connection()
        yield sqlite3.connect(path)
        connections["default"].connection.close()
        connections.settings["default"], connections["default"] = before, kept
    logging.disable(logging.NOTSET)


@pytest.fixture
def machine(template: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """A machine after its start, with one verifier."""
    monkeypatch.setattr(Machine, "template", template, raising=False)
    started = Machine()
    started.start(verifiers=1)
    started.remember()
    yield started
    started.teardown()
