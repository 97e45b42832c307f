"""Verifier of one node, driven step by step on a clock of the test's own; and a second one beside it."""

from dataclasses import dataclass
from datetime import timedelta

import pytest

from featurestore.consent.vouching import node_changes
from featurestore.consent.vouching.lease import HeldLease
from featurestore.consent.vouching.node_verifier import NodeVerifier, VerifierState
from featurestore.store.protocol import Node, StoreClaim
from tests.kit.clock import T0, Clock
from tests.kit.shop import Shop
from tests.kit.stores import record_vouched_runs

EXPIRY_MS = 2000


def verifier_of(node: Node, clock: Clock, **kwargs: object) -> NodeVerifier:
    """A verifier of one node, in a process of its own. The clock is the database's too."""
    began_s = 1000.0
    lease = HeldLease(lambda: [node], EXPIRY_MS, clock, lambda: T0 + timedelta(seconds=clock() - began_s))
    return NodeVerifier(node, EXPIRY_MS, clock, lease=lease, **kwargs)  # type: ignore[arg-type]


@dataclass
class VerifierDriver:
    """Driver of a verifier: half a second a step."""

    verifier: NodeVerifier
    clock: Clock

    def steps(self, count: int = 1) -> list[VerifierState]:
        seen = []
        for _ in range(count):
            seen.append(self.verifier.step())
            self.clock.pass_s(0.5)
        return seen

    def until_vouching(self) -> float:
        """Seconds until the verifier vouches."""
        return self.until(VerifierState.VOUCHING)

    def until(self, state: VerifierState, within_s: float = 10) -> float:
        """Seconds until the verifier is in a state."""
        for n in range(int(within_s * 2)):
            if self.verifier.step() is state:
                return n / 2
            self.clock.pass_s(0.5)
        raise AssertionError(self.verifier.state)


@pytest.fixture
def driver(shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> VerifierDriver:
    """Driver of a new verifier that holds the lease, on an empty store that was never vouched for."""
    shop.store.restart(emptied=True)
    record_vouched_runs()
    monkeypatch.setattr(node_changes, "BATCH_SIZE", 100)
    verifier = verifier_of(shop.store, clock)
    assert verifier.lease.hold()
    return VerifierDriver(verifier, clock)


def read_claim(shop: Shop) -> StoreClaim:
    found = shop.store.vouching_record().claim
    assert found is not None
    return found
