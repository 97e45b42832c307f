"""The administration over a store in memory that is vouched for."""

from collections.abc import Iterator

import pytest

from featurestore.access.selectors import forget_keys
from featurestore.consent.ledger import current
from featurestore.consent.models import Ledger
from featurestore.ingest import letterbox as ingest
from featurestore.store import configured
from featurestore.store.memory import MemoryStore
from tests.admin.letterbox import MemoryLetterbox
from tests.admin.shop import Shop


@pytest.fixture
def shop(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    store = MemoryStore()
    monkeypatch.setattr(configured, "store", lambda: store)
    letterbox = MemoryLetterbox()
    monkeypatch.setattr(ingest, "opened", letterbox.opened)
    run = store.run()
    assert store.claim(run, current().epoch, 0)
    assert store.vouch(run, 3_600_000)
    Ledger.objects.update(runs="/".join(run))
    opened = Shop(store, letterbox)
    opened.open()
    yield opened
    forget_keys()
