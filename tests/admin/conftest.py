"""Fixtures of the administration over a vouched store in memory."""

from collections.abc import Iterator

import pytest

from featurestore.access.selectors import invalidate_credentials
from featurestore.accesslog.writer import AccessLogWriter
from featurestore.consent.change_sequence import load_change_sequence
from featurestore.ingest import dead_letter_topic as ingest
from featurestore.staffreads import services as staff_reads
from featurestore.store import configured
from featurestore.store.memory import MemoryStore
from tests.admin.environment import AdminEnvironment
from tests.kit.access_log import MemoryStream
from tests.kit.dead_letter_topic import InMemoryDeadLetterTopic
from tests.kit.stores import vouch_for_database


@pytest.fixture
def env(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[AdminEnvironment]:
    store = MemoryStore()
    monkeypatch.setattr(configured, "store", lambda: store)
    reads = AccessLogWriter(MemoryStream(), 10**9, lambda: 1_700_000_000_000)
    monkeypatch.setattr(staff_reads, "access_log_writer", lambda: reads)
    dead_letters = InMemoryDeadLetterTopic()
    monkeypatch.setattr(ingest, "connect", dead_letters.connect)
    vouch_for_database(store, load_change_sequence().epoch)
    made = AdminEnvironment(store, dead_letters)
    made.set_up()
    yield made
    reads.stop()
    invalidate_credentials()
