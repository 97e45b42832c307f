"""Random interleavings of verifiers, decisions, fail-overs, partitions, kills and lost databases, within any step.

A process is stopped at a call of the store or of the database by letting other things happen within it, for as long as
they like: the call then goes on, late. The sequence of what happens is drawn from a seed.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from featurestore.consent.models import ChangeSequence
from featurestore.consent.outbox import publication
from featurestore.consent.outbox.relay import relay_due
from featurestore.consent.vouching import node_changes, node_verifier, publication_check
from featurestore.consent.vouching.node_verifier import NodeVerifier, VerifierState
from featurestore.permission import Denial
from featurestore.store import configured
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import Node, StoreUnavailable
from tests.kit.backups import back_up, restore
from tests.kit.clock import Clock
from tests.kit.shop import Shop
from tests.kit.stores import record_vouched_runs
from tests.kit.verifier import verifier_of

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
STOPS_AT = {"run", "vouching_record", "publish_permissions", "now_ms", "vouch", "write_claim"}


class Address:
    """Address of the store as one process resolves it. Before each call anything may happen, and after it too."""

    name = ""

    def __init__(self, world: "World", store: MemoryStore):
        self.world, self.store = world, store

    def nodes(self) -> tuple["Address"]:
        return (self,)

    def __getattr__(self, name: str) -> Any:
        if name not in STOPS_AT:
            return getattr(self.store, name)

        def call(*arguments: Any) -> Any:
            self.world.interleave()
            if self.store not in self.world.running:
                raise StoreUnavailable("the server is gone")
            answer = getattr(self.store, name)(*arguments)
            self.world.interleave()
            return answer

        return call


class World:
    """One customer, some verifiers, and the stores that were ever promoted; each may still have readers."""

    def __init__(self, shop: Shop, clock: Clock, seed: int, backup: Path, patch: pytest.MonkeyPatch):
        self.shop, self.clock, self.draw, self.backup = shop, clock, random.Random(seed), backup
        self.depth, self.busy, self.log = 0, set[NodeVerifier](), list[str]()
        self.denied, self.last_given, self.when = False, 0, 10.0
        shop.store.restart(emptied=True)
        self.running = [shop.store]
        self.replica = self.copy(shop.store)
        self.api = Address(self, shop.store)
        record_vouched_runs()
        self.subject = shop.register().customer.subject
        shop.give()
        patch.setattr(configured, "store", lambda: self.api)
        for module in (node_verifier, node_changes, publication, publication_check):
            patch.setattr(module, "load_change_sequence", self.stopping_at(module.load_change_sequence))
        self.without_database: set[NodeVerifier] = set()
        self.verifiers = [self.start_verifier() for _ in range(3)]
        back_up(backup)

    def stopping_at(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def stopped() -> Any:
            self.interleave()
            return call()

        return stopped

    def start_verifier(self) -> NodeVerifier:
        node: Node = Address(self, self.api.store)  # type: ignore[assignment]
        verifier = verifier_of(node, self.clock)
        hold = verifier.lease.hold

        def hold_or_fail() -> bool:
            self.interleave()
            if verifier in self.without_database:
                raise OperationalError("no route to host")
            return hold()

        verifier.lease.hold = hold_or_fail  # type: ignore[method-assign]
        return verifier

    def copy(self, store: MemoryStore) -> MemoryStore:
        """A replica of the store as it is now."""
        copied = MemoryStore(self.clock)
        copied._runs = 1000 + self.draw.randrange(10**9)
        copied._permissions, copied._claim = dict(store._permissions), store._claim
        copied._highest, copied._latched_epoch = store._highest, store._latched_epoch
        copied._vouch = store._vouch
        return copied

    def interleave(self) -> None:
        if self.depth < 3 and self.draw.random() < 0.04:
            self.act()

    def act(self) -> None:
        names = (
            ["step"] * 12 + ["time"] * 8 + ["decide"] * 4 + ["replicate", "promote", "follow", "follow", "cut", "heal"]
        )
        names += ["heal", "replace", "release", "flush", "relay", "back_up"]
        name = self.draw.choice(names)
        self.log.append(f"{'  ' * self.depth}{name}")
        self.depth += 1
        getattr(self, name)()
        self.depth -= 1
        self.check()

    def check(self) -> None:
        vouched = [store for store in self.running if store.read([], [], [], 100).vouched]
        assert len(vouched) <= 1, "\n".join(self.log)
        for store in vouched:
            if self.denied:
                read = Shop(store, self.shop.sent).read(self.subject, when=10**8)
                assert isinstance(read, Denial), "\n".join(self.log)

    def step(self) -> None:
        free = [verifier for verifier in self.verifiers if verifier not in self.busy]
        if free:
            verifier = self.draw.choice(free)
            self.busy.add(verifier)
            state = verifier.step()
            self.log.append(f"{'  ' * self.depth}{self.name_of(verifier)} {state.name}")
            self.busy.discard(verifier)

    def name_of(self, verifier: NodeVerifier) -> str:
        return verifier.lease.holder[:3]

    def time(self) -> None:
        self.clock.pass_s(self.draw.choice([0.1, 0.5, 0.5, 0.5, 0.5, 1, 2, 2.5, 10, 31, 33]))

    def decide(self) -> None:
        self.when += 1
        if self.draw.random() < 0.5:
            self.denied = False
            self.last_given = self.shop.give(when=self.when).sequence
        else:
            decided = self.shop.withdraw(when=self.when)
            if decided.effective and decided.sequence > self.last_given:
                self.denied = True

    def relay(self) -> None:
        relay_due()

    def replicate(self) -> None:
        self.replica = self.copy(self.api.store)

    def promote(self) -> None:
        """The replica, which may lag, takes over. The old primary lives on, and some processes still reach it."""
        if self.draw.random() < 0.5:
            self.replicate()
        self.running.append(self.replica)
        self.api.store = self.replica
        self.replicate()

    def follow(self) -> None:
        self.draw.choice(self.verifiers).node.store = self.draw.choice(self.running[-2:])  # type: ignore[attr-defined]

    def cut(self) -> None:
        self.without_database.add(self.draw.choice(self.verifiers))

    def heal(self) -> None:
        self.without_database.clear()

    def replace(self) -> None:
        """A verifier is killed, unless a call of its is under way, and another one is started."""
        index = self.draw.randrange(len(self.verifiers))
        self.verifiers[index] = self.start_verifier()

    def release(self) -> None:
        verifier = self.draw.choice(self.verifiers)
        if verifier not in self.busy:
            verifier.lease.release()

    def flush(self) -> None:
        store = self.draw.choice(self.running)
        store.restart(emptied=True)
        store._runs -= 1

    def back_up(self) -> None:
        back_up(self.backup)

    def settle(self) -> list[VerifierState]:
        """Everything is reached again, and nothing more happens."""
        self.depth = 99
        self.without_database.clear()
        for verifier in self.verifiers:
            verifier.node.store = self.api.store  # type: ignore[attr-defined]
        self.clock.pass_s(40)
        for _ in range(12):
            states = [verifier.step() for verifier in self.verifiers]
            self.clock.pass_s(0.5)
            self.check()
        return states


@pytest.fixture
def world(shop: Shop, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> World:
    return World(shop, clock, seed, tmp_path / "backup.sqlite3", monkeypatch)


@pytest.mark.parametrize("seed", range(12))
def test_at_most_one_run_is_readable_and_none_after_an_acknowledged_withdrawal(world: World) -> None:
    for _ in range(120):
        world.act()
    states = world.settle()
    assert states.count(VerifierState.VOUCHING) == 1, "\n".join(world.log)
    assert states.count(VerifierState.STANDBY) == 2, "\n".join(world.log)
    assert isinstance(world.shop.read(world.subject), Denial) or not world.denied
    assert ChangeSequence.objects.get().latched_at is None


@pytest.mark.parametrize("seed", range(100, 112))
def test_acknowledged_withdrawal_stays_in_effect_when_the_database_loses_it(world: World) -> None:
    for _ in range(60):
        world.act()
    world.settle()
    world.back_up()
    world.when += 1
    assert world.shop.withdraw(when=world.when).effective
    world.denied = True
    restore(world.backup)
    world.depth = 0
    world.last_given = 10**9  # a withdrawal that nobody has acknowledged yet proves nothing
    for _ in range(60):
        if world.draw.random() < 0.3:
            world.when += 1
            world.shop.give("personalisation", when=world.when)  # its permission would allow the lost withdrawal
            world.check()
        if (name := world.draw.choice(["step", "time", "replicate", "follow", "relay", "cut", "heal"])) != "follow":
            getattr(world, name)()
        world.check()
    assert VerifierState.VOUCHING not in world.settle()
    assert ChangeSequence.objects.get().latched_at is not None
