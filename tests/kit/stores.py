"""Store in memory, vouched for."""

import pytest

from featurestore.consent.models import ChangeSequence
from featurestore.store import configured
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import OnlineStore
from tests.kit.clock import Clock


def vouch(store: OnlineStore, epoch: int = 1, sequence: int = 0) -> None:
    """Vouch for the store's present run, and note in the database that it was vouched for."""
    run = store.run()
    assert store.write_claim(run, epoch, sequence)
    assert store.vouch(run, 1_000_000)
    ChangeSequence.objects.filter(pk=1).update(vouched_runs="/".join(run))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> MemoryStore:
    """The process's store: in memory, and vouched for."""
    memory = MemoryStore(clock)
    monkeypatch.setattr(configured, "store", lambda: memory)
    vouch(memory)
    return memory
