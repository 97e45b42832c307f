"""Fixture of subject requests over a vouched store in memory. Where a test gives no time, it is long ago."""

import pytest

from featurestore.consent import change_sequence, late_grants
from featurestore.consent.change_sequence import load_change_sequence
from featurestore.store import configured
from featurestore.store.memory import MemoryStore
from tests.kit.requests import RequestsEnvironment, day
from tests.kit.stores import vouch_for_database


@pytest.fixture
def env(db: None, monkeypatch: pytest.MonkeyPatch) -> RequestsEnvironment:
    monkeypatch.setattr(change_sequence, "database_now", lambda: day(-60))
    monkeypatch.setattr(late_grants, "database_now", lambda: day(-60))
    store = MemoryStore()
    monkeypatch.setattr(configured, "store", lambda: store)
    vouch_for_database(store, load_change_sequence().epoch)
    made = RequestsEnvironment(store)
    made.set_up()
    return made
