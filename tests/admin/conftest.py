"""Fixtures of the administration over a vouched store in memory."""

from collections.abc import Iterator

import pytest

from featurestore.access.selectors import invalidate_credentials
from featurestore.consent.change_sequence import load_change_sequence
from featurestore.consent.models import ChangeSequence
from featurestore.ingest import dead_letter_topic as ingest
from featurestore.store import configured
from featurestore.store.memory import MemoryStore
from tests.admin.dead_letter_topic import InMemoryDeadLetterTopic
from tests.admin.environment import AdminEnvironment


@pytest.fixture
def env(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[AdminEnvironment]:
    store = MemoryStore()
    monkeypatch.setattr(configured, "store", lambda: store)
    dead_letters = InMemoryDeadLetterTopic()
    monkeypatch.setattr(ingest, "connect", dead_letters.connect)
    run = store.run()
    assert store.write_claim(run, load_change_sequence().epoch, 0)
    assert store.vouch(run, 3_600_000)
    ChangeSequence.objects.update(vouched_runs="/".join(run))
    made = AdminEnvironment(store, dead_letters)
    made.set_up()
    yield made
    invalidate_credentials()
