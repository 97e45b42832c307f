"""Stores that are vouched for."""

import pytest

from featurestore.consent.models import VerifierLease
from featurestore.store import configured
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import NO_LEASE, Node, Run, StoreClaim, new_incarnation
from featurestore.store.slots import SLOTS, format_slots, parse_slots, slot_of
from tests.kit.clock import Clock, at


class HalfStore(MemoryStore):
    """Store of a node with one half of the slots: 0 or 1."""

    def __init__(self, clock: Clock, half: int = 0):
        super().__init__(clock)
        self.slots = format_slots([(half * SLOTS // 2, (half + 1) * SLOTS // 2 - 1)])

    def run(self) -> Run:
        return super().run()._replace(slots=self.slots)

    def owns(self, subject: str) -> bool:
        return slot_of(subject) in parse_slots(self.slots)


def claim(node: Node, epoch: int = 1, sequence: int = 0) -> StoreClaim:
    """Claim a node's present run, whatever its claim is; its incarnation and lease stay."""
    found, run = node.vouching_record().claim, node.run()
    fresh = new_incarnation(run, found.lease if found else NO_LEASE)
    known = found if found and found.run == run else fresh
    written = known._replace(epoch=epoch, sequence=sequence)
    assert node.write_claim(written, found)
    return written


def begin_incarnation(node: Node) -> None:
    """Write the claim with which a new store incarnation begins, whatever the present claim is."""
    found = node.vouching_record().claim
    assert node.write_claim(new_incarnation(node.run(), found.lease if found else NO_LEASE), found)


def vouch(node: Node, epoch: int = 1, sequence: int = 0, expiry_ms: int = 3_600_000) -> None:
    """Claim the present run of a node, or of a store of one node, and vouch for it."""
    assert node.vouch(claim(node, epoch, sequence), node.now_ms() + expiry_ms)


def vouched_runs() -> list[str]:
    """The runs that the database knows to have been vouched for last."""
    return VerifierLease.objects.get().vouched_runs.split()


def record_vouched_runs(*runs: Run) -> None:
    """Note in the database that these runs were vouched for last, by a verifier that has ended."""
    names = "\n".join("/".join(run) for run in runs)
    times = {"renewed_at": at(-86_400), "predecessors_until": at(-86_400)}
    VerifierLease.objects.update_or_create(pk=1, defaults={"vouched_runs": names} | times)


def vouch_for_database(store: Node, epoch: int = 1, sequence: int = 0) -> None:
    """Vouch for the store's present run, and note in the database that it was vouched for."""
    vouch(store, epoch, sequence)
    record_vouched_runs(store.run())


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> MemoryStore:
    """The process's store: in memory, and vouched for."""
    memory = MemoryStore(clock)
    monkeypatch.setattr(configured, "store", lambda: memory)
    vouch_for_database(memory)
    return memory
