"""Stores that are vouched for."""

import pytest

from featurestore.consent.models import ChangeSequence
from featurestore.store import configured
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import OnlineStore
from tests.kit.clock import Clock


def vouch(store: OnlineStore, epoch: int = 1, sequence: int = 0, expiry_ms: int = 3_600_000) -> None:
    """Claim the present run of a store of one node, or of a node, and vouch for it."""
    run = store.run()
    assert store.write_claim(run, epoch, sequence)
    assert store.vouch(run, expiry_ms)


def vouch_for_database(store: OnlineStore, epoch: int = 1, sequence: int = 0) -> None:
    """Vouch for the store's present run, and note in the database that it was vouched for."""
    vouch(store, epoch, sequence)
    ChangeSequence.objects.update(vouched_runs="/".join(store.run()))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> MemoryStore:
    """The process's store: in memory, and vouched for."""
    memory = MemoryStore(clock)
    monkeypatch.setattr(configured, "store", lambda: memory)
    vouch_for_database(memory)
    return memory
