"""Audit log in a database of its own, and its keys."""

from collections.abc import Callable, Iterator

import pytest
from django.db import transaction

from featurestore.auditlog.entries import Entry
from featurestore.auditlog.services import append, sequence, sign_due
from featurestore.auditlog.stored_tree import stored_size
from featurestore.config import settings
from tests.kit.clock import at, clock
from tests.kit.databases import database
from tests.kit.shop import sent, shop
from tests.kit.stores import store

__all__ = ["clock", "database", "sent", "shop", "store"]

SetKeys = Callable[[str], None]


@pytest.fixture
def set_keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[SetKeys]:
    """Sets the keys that sign, as ``ID:KEY,ID:KEY``."""

    def set_to(keys: str) -> None:
        monkeypatch.setenv("RAPPORT_AUDIT_LOG_KEYS", keys)
        settings.cache_clear()

    yield set_to
    settings.cache_clear()


def write(*numbers: int, subject: str = "", when: float = 0) -> None:
    """Append an entry for each number, in one transaction."""
    with transaction.atomic():
        for number in numbers:
            append(Entry("test.done", at(when), {"number": number}, "Staff S", subject))


def write_signed(*sizes: int, hour: int = 0) -> None:
    """Make a log whose tree heads have these sizes: one each hour, from an hour on."""
    for number, size in enumerate(sizes):
        write(*range(stored_size(), size))
        sequence()
        assert sign_due(at(3600 * (hour + number))) is not None
        sequence()  # the first one adds the entry that says which key was added
