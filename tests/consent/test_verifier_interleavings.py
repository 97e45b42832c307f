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
from featurestore.consent.vouching.node_verifier import VerifierState
from featurestore.permission import Denial
from featurestore.store import configured
from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import StoreUnavailable
from tests.kit.backups import back_up, restore
from tests.kit.clock import Clock
from tests.kit.shop import Shop
from tests.kit.stores import record_vouched_runs
from tests.kit.verifier import verifier_of

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
STOPS_AT = {"run", "vouching_record", "publish_permissions", "now_ms", "vouch", "write_claim"}
ACTIONS = [
    *(["step"] * 16 + ["time"] * 10 + ["decide"] * 4 + ["follow_all", "follow", "heal", "heal", "cut", "replicate"]),
    *("promote", "partition", "stop_holder", "replace", "release", "flush", "relay"),
]


class Address:
    """Address of the store as one process resolves it. Before and after each call anything may happen."""

    name = ""

    def __init__(self, simulation: "Simulation", store: MemoryStore):
        self.simulation, self.store = simulation, store
        self.stopped_at = ""  # the call before which the process is stopped for long, once

    def nodes(self) -> tuple["Address"]:
        return (self,)

    def __getattr__(self, name: str) -> Any:
        if name not in STOPS_AT:
            return getattr(self.store, name)

        def call(*arguments: Any) -> Any:
            if name == self.stopped_at:
                self.stopped_at = ""
                self.simulation.pass_over(self)
            self.simulation.interleave()
            if self.store not in self.simulation.running:
                raise StoreUnavailable("the server is gone")
            answer = getattr(self.store, name)(*arguments)
            self.simulation.check()
            self.simulation.interleave()
            return answer

        return call


class Process:
    """Process of a verifier, which reaches the store at its own address, and the database or not."""

    def __init__(self, simulation: "Simulation"):
        self.address, self.busy, self.has_database = Address(simulation, simulation.api.store), False, True
        self.verifier = verifier_of(self.address, simulation.clock)  # type: ignore[arg-type]
        hold = self.verifier.lease.hold

        def hold_or_fail() -> bool:
            simulation.interleave()
            if not self.has_database:
                raise OperationalError("no route to host")
            return hold()

        self.verifier.lease.hold = hold_or_fail  # type: ignore[method-assign]


class Simulation:
    """One customer, some verifiers, and the stores that were ever promoted; each may still have readers."""

    def __init__(self, shop: Shop, clock: Clock, seed: int, patch: pytest.MonkeyPatch):
        self.shop, self.clock, self.draw = shop, clock, random.Random(seed)
        self.depth, self.log = 99, list[str]()  # nothing happens within a call until the simulation is made
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
        self.processes = [Process(self) for _ in range(3)]
        self.depth = 0

    def stopping_at(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def stopped() -> Any:
            self.interleave()
            return call()

        return stopped

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

    def act(self, actions: list[str] = ACTIONS) -> None:
        name = self.draw.choice(actions)
        self.log.append(f"{'  ' * self.depth}{name}")
        self.depth += 1
        getattr(self, name)()
        self.depth -= 1
        self.check()

    def check(self) -> None:
        """At most one run is readable. It has the permission, and denies after an acknowledged withdrawal."""
        vouched = [store for store in self.running if store.read([], [], [], 100).vouched]
        assert len(vouched) <= 1, "\n".join(self.log)
        for store in vouched:
            assert self.subject in store._permissions, "\n".join(self.log)
            read = Shop(store, self.shop.sent).read(self.subject, when=10**8)
            assert isinstance(read, Denial) or not self.denied, "\n".join(self.log)

    def step(self) -> None:
        self.step_of(self.draw.choice(self.processes))

    def step_of(self, process: Process) -> None:
        if not process.busy:
            process.busy = True
            state = process.verifier.step()
            self.log.append(f"{'  ' * self.depth}{process.verifier.lease.holder[:3]} {state.name}")
            process.busy = False

    def time(self) -> None:
        self.clock.pass_s(self.draw.choice([0.1, *[0.5] * 8, 1, 2, 2.5, 10, 33]))

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
        self.draw.choice(self.processes).address.store = self.draw.choice(self.running[-2:])

    def follow_all(self) -> None:
        for process in self.processes:
            process.address.store = self.api.store

    def holder(self) -> Process:
        """A process that has held the lease, if there is one."""
        held = [process for process in self.processes if process.verifier.lease.number is not None]
        return self.draw.choice(held or self.processes)

    def partition(self, cut_off: Process | None = None) -> None:
        """A fail-over; one process is left behind with the old primary and without the database."""
        left = cut_off or self.holder()
        left.has_database = False
        self.promote()
        for process in self.processes:
            if process is not left:
                process.address.store = self.api.store

    def stop_holder(self) -> None:
        """A process is stopped before one of its calls."""
        holder = self.holder()
        holder.address.stopped_at = self.draw.choice(["now_ms", "vouch", "write_claim"])
        self.step_of(holder)

    def pass_over(self, address: Address) -> None:
        """What happens while a process is stopped: the others go on, perhaps without it and the old primary."""
        stopped = [process for process in self.processes if process.address is address]
        self.depth += 1
        self.log.append(f"{'  ' * self.depth}stopped")
        if stopped and self.draw.random() < 0.7:
            self.partition(stopped[0])
        for seconds in self.draw.choice([[0.5] * 6, [0.5, 2.5, 0.5, 0.5, 0.5], [2.5, 0.5, 30, 0.5, 0.5, 0.5]]):
            self.clock.pass_s(seconds)
            for process in self.processes:
                self.step_of(process)
            self.check()
        self.depth -= 1

    def cut(self) -> None:
        self.draw.choice(self.processes).has_database = False

    def heal(self) -> None:
        for process in self.processes:
            process.has_database = True

    def replace(self) -> None:
        """A process is killed, unless a call of its is under way, and another one is started."""
        self.processes[self.draw.randrange(len(self.processes))] = Process(self)

    def release(self) -> None:
        process = self.draw.choice(self.processes)
        if not process.busy:
            process.verifier.lease.release()

    def flush(self) -> None:
        store = self.draw.choice(self.running)
        store.restart(emptied=True)
        store._runs -= 1

    def settle(self) -> list[VerifierState]:
        """Everything is reached again, and nothing more happens within a call."""
        self.depth = 99
        self.heal()
        self.follow_all()
        for process in self.processes:
            process.address.stopped_at = ""
        self.clock.pass_s(40)
        for _ in range(12):
            states = [process.verifier.step() for process in self.processes]
            self.clock.pass_s(0.5)
            self.check()
        return states


@pytest.fixture
def simulation(shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch, seed: int) -> Simulation:
    return Simulation(shop, clock, seed, monkeypatch)


@pytest.mark.parametrize("seed", range(12))
def test_at_most_one_run_is_readable_and_none_after_an_acknowledged_withdrawal(simulation: Simulation) -> None:
    for _ in range(60):
        simulation.act()
    states = simulation.settle()
    assert states.count(VerifierState.VOUCHING) == 1, "\n".join(simulation.log)
    assert states.count(VerifierState.STANDBY) == 2, "\n".join(simulation.log)
    assert isinstance(simulation.shop.read(simulation.subject), Denial) or not simulation.denied
    assert ChangeSequence.objects.get().latched_at is None


@pytest.mark.parametrize("seed", range(100, 108))
def test_acknowledged_withdrawal_stays_in_effect_when_the_database_loses_it(
    simulation: Simulation, tmp_path: Path
) -> None:
    for _ in range(20):
        simulation.act()
    simulation.settle()
    back_up(tmp_path / "backup.sqlite3")
    simulation.when += 1
    assert simulation.shop.withdraw(when=simulation.when).effective
    simulation.denied = True
    restore(tmp_path / "backup.sqlite3")
    simulation.depth, simulation.last_given = 0, 10**9  # a later withdrawal is not acknowledged
    for _ in range(40):
        if simulation.draw.random() < 0.3:
            simulation.when += 1
            simulation.shop.give(
                "personalisation", when=simulation.when
            )  # its permission would allow what was withdrawn
        simulation.act(["step", "step", "time", "replicate", "relay", "cut", "heal", "stop_holder"])
    assert VerifierState.VOUCHING not in simulation.settle()
    assert ChangeSequence.objects.get().latched_at is not None
