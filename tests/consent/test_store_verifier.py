"""The voucher's process: a thread a node, and an end that a supervisor sees."""

import threading
from collections.abc import Sequence
from typing import NoReturn

import pytest

from devservers.waiting import eventually
from featurestore.consent.vouching import store_verifier
from featurestore.consent.vouching.store_verifier import StoreVerifier
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import StoreUnavailable
from tests.kit.shop import Shop

EXPIRY_MS = 60_000

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_verifier, "STEP_S", 0.01)


class Nodes(MemoryStore):
    """A store of several, with its own data in none; ``there`` are those that it has now."""

    there: Sequence[MemoryStore] | None = None

    def nodes(self) -> Sequence[MemoryStore]:  # type: ignore[override]
        if self.there is None:
            raise StoreUnavailable("nobody tells")
        return self.there


def running(store: Nodes) -> tuple[threading.Event, threading.Thread]:
    stop = threading.Event()
    vouching_ = StoreVerifier(store, EXPIRY_MS, stop)
    vouching_._vouch_times.clear()
    vouching_._vouch_times[None] = -1e9  # no process was here before
    thread = threading.Thread(target=vouching_.run)
    thread.start()
    return stop, thread


def word(node: MemoryStore) -> str:
    return node.read([], [], [], 100).nodes[0].incarnation


def test_every_node_is_vouched_for_as_it_comes_and_one_that_is_away_delays_nobody(shop: Shop) -> None:
    store, first, away, later = Nodes(), MemoryStore(), MemoryStore(), MemoryStore()
    away.available = False
    stop, thread = running(store)
    try:
        store.there = [away, first]
        eventually(lambda: word(first), "the first is vouched for")
        store.there = [first, later]
        eventually(lambda: word(later), "one that came later, too")
        away.available = True  # but a node of the store no more
    finally:
        stop.set()
        thread.join()
    assert not word(away)


def test_a_mistake_ends_the_process(shop: Shop) -> None:
    class Broken(MemoryStore):
        def run(self) -> NoReturn:
            raise ValueError("a mistake of ours")

    store = Nodes()
    store.there = [Broken(), MemoryStore()]
    with pytest.raises(ValueError, match="a mistake of ours"):
        StoreVerifier(store, EXPIRY_MS, threading.Event()).run()
