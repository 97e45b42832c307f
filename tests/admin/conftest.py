"""The administration over a store in memory that is vouched for."""

from collections.abc import Iterator

import pytest

from featurestore.access.selectors import invalidate_credentials
from featurestore.consent.change_sequence import load_change_sequence
from featurestore.consent.models import ChangeSequence
from featurestore.ingest import dead_letter_topic as ingest
from featurestore.store import configured
from featurestore.store.memory import MemoryStore
from tests.admin.dead_letter_topic import InMemoryDeadLetterTopic
from tests.admin.shop import Shop


@pytest.fixture
def shop(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    store = MemoryStore()
    monkeypatch.setattr(configured, "store", lambda: store)
    dead_letters = InMemoryDeadLetterTopic()
    monkeypatch.setattr(ingest, "connect", dead_letters.connect)
    run = store.run()
    assert store.write_claim(run, load_change_sequence().epoch, 0)
    assert store.vouch(run, 3_600_000)
    ChangeSequence.objects.update(vouched_runs="/".join(run))
    opened = Shop(store, dead_letters)
    opened.open()
    yield opened
    invalidate_credentials()
