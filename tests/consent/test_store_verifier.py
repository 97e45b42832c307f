"""Verifier of the whole store: a thread a node, and the end of the process after an error."""

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


class SeveralNodes(MemoryStore):
    """Store of several nodes. ``present``: its nodes now; None: unknown."""

    present: Sequence[MemoryStore] | None = None

    def nodes(self) -> Sequence[MemoryStore]:  # type: ignore[override]
        if self.present is None:
            raise StoreUnavailable("unknown")
        return self.present


def start(store: SeveralNodes) -> tuple[threading.Event, threading.Thread]:
    stop = threading.Event()
    verifier = StoreVerifier(store, EXPIRY_MS, stop)
    verifier.lease.may_replace_others = lambda run, vouched_runs: True  # type: ignore[method-assign]
    thread = threading.Thread(target=verifier.run)
    thread.start()
    return stop, thread


def incarnation_of(node: MemoryStore) -> str:
    return node.read([], [], [], 100).nodes[0].incarnation


def test_each_node_is_vouched_for_independently(shop: Shop) -> None:
    store, first, away, later = SeveralNodes(), MemoryStore(), MemoryStore(), MemoryStore()
    away.available = False
    stop, thread = start(store)
    try:
        store.present = [away, first]
        eventually(lambda: incarnation_of(first), "the first is vouched for")
        store.present = [first, later]
        eventually(lambda: incarnation_of(later), "a node that joined is vouched for")
        away.available = True  # but it has left
    finally:
        stop.set()
        thread.join()
    assert not incarnation_of(away)


def test_error_of_a_node_verifier_ends_the_process(shop: Shop) -> None:
    class Broken(MemoryStore):
        def run(self) -> NoReturn:
            raise ValueError("a defect")

    store = SeveralNodes()
    store.present = [Broken(), MemoryStore()]
    with pytest.raises(ValueError, match="a defect"):
        StoreVerifier(store, EXPIRY_MS, threading.Event()).run()
