"""Rules of a model: what customers, operators and processes do.

The arguments of rules are plain values, so the history that Hypothesis prints is a program, and can be kept as a test.
"""

import sqlite3
from decimal import Decimal
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from featurestore.catalog.orders import OrderLine, orders
from tests.kit.purchases import iso
from tests.model.broker import EVENTS
from tests.model.installation import (
    APIS,
    CUSTOMERS,
    HAS_EVICTIONS,
    HAS_JOURNAL,
    HAS_PAUSES,
    JOURNALS,
    PURPOSES,
    SUBJECTS,
    VERIFIERS,
)
from tests.model.operations import EXPIRY_MS, Operations
from tests.model.oracle import GIVEN, LIFTED, MAX_EVENTS, PAUSED, START_DELAY_MS, WITHDRAWN

GATES = st.none() | st.integers(0, 16)
CUSTOMER = st.sampled_from([*range(len(CUSTOMERS)), 0, 0])
API, PURPOSE = st.sampled_from(APIS), st.sampled_from(PURPOSES)
OPPOSITE = "the opposite of the last one"
KIND = st.sampled_from([OPPOSITE, GIVEN, WITHDRAWN, *((PAUSED, LIFTED) if HAS_PAUSES else ())])
AHEAD_MS = (0, -500, -5_000, 200_000, 301_000)
"""Time of an event, from now: the last one is quarantined."""
STEP_MS = 500
SNAPSHOTS = 30
STEPS = (*VERIFIERS, *(JOURNALS if HAS_JOURNAL else ()), "relay", "audit", *(("evictions",) if HAS_EVICTIONS else ()))
QUANTITY = orders.positions["quantity"]
FAULTS = {
    "pause",
    "kill",
    "flush",
    "delete",
    "restart",
    "empty",
    "fail over",
    "two verifiers",
    "cut off",
    "database",
    "dead letters",
    "journal",
    "worker",
    "stall",
}


class Steps(RuleBasedStateMachine):
    """Installation with two customers who have consented, and an event of each. ``faults``: those that may happen."""

    template: ClassVar[sqlite3.Connection]
    faults: ClassVar[frozenset[str]] = frozenset(FAULTS)

    def __init__(self) -> None:
        super().__init__()
        self.made = Operations(self.template)

    def teardown(self) -> None:
        self.made.close()

    # --------------------------------------------------------------------------------------------------------- steps

    @initialize(verifiers=st.integers(1, 2))
    def start(self, verifiers: int) -> None:
        for _ in range(3):  # the last one vouches
            self.made.pass_ms(EXPIRY_MS)
            self.step(name=JOURNALS[0], gates=None)
            self.step(name=VERIFIERS[0], gates=None)
        self.made.remember(SNAPSHOTS)
        for customer in range(len(CUSTOMERS)):
            self.made.register(APIS[0], customer)
            self.made.decide(APIS[0], customer, "service", GIVEN)
        self.made.pass_ms(START_DELAY_MS)
        for customer in range(len(CUSTOMERS)):
            self.event(customer=customer, ahead_ms=0)
        if verifiers > 1 and "two verifiers" in self.faults:
            self.made.start_verifier(VERIFIERS[1])
        self.run(steps=2, buys=False)  # the second one publishes a watermark

    @rule(steps=st.integers(1, 4), buys=st.booleans())
    def run(self, steps: int, buys: bool) -> None:
        """Let every process that is not paused do its work, each half second. ``buys``: one customer does, at first."""
        if buys and len(self.made.oracle.events) < MAX_EVENTS:
            self.event(customer=0, ahead_ms=0)
        for _ in range(steps):
            self.made.pass_ms(STEP_MS)
            for name in (*JOURNALS[: len(self.made.comparers)], *self.made.verifiers):
                if self.made.processes[name].idle:
                    self.step(name=name, gates=None)
            if self.made.processes["relay"].idle and self.made.is_due():
                self.made.relay()
            if HAS_EVICTIONS:
                self.made.request_values()
            self.made.work()
            self.check()

    @precondition(lambda self: "stall" in self.faults)
    @rule(seconds=st.sampled_from([1, 3, 40, 3_700]))
    def stall(self, seconds: int) -> None:
        """Time passes, in which no process does anything."""
        self.made.pass_ms(seconds * 1000)

    @rule(api=API, customer=CUSTOMER, purpose=PURPOSE, kind=KIND, gates=GATES)
    def decide(self, api: str, customer: int, purpose: str, kind: str, gates: int | None) -> None:
        acts = self.made.oracle.acts.get((SUBJECTS[customer], purpose), [])
        if kind == OPPOSITE:
            last = [act.kind for act in acts if act.kind in (GIVEN, WITHDRAWN)][-1:]
            kind = GIVEN if last == [WITHDRAWN] else WITHDRAWN
        if self.made.processes[api].idle:
            self.made.decide(api, customer, purpose, kind, self.allowed(gates))

    @rule(customer=CUSTOMER, purpose=PURPOSE)
    def change_mind_twice(self, customer: int, purpose: str) -> None:
        """Withdraw and give again, or the other way, a second apart."""
        for _ in range(2):
            self.decide(api=APIS[0], customer=customer, purpose=purpose, kind=OPPOSITE, gates=None)
            self.run(steps=2, buys=False)

    @precondition(lambda self: HAS_PAUSES)
    @rule(customer=CUSTOMER, purpose=PURPOSE, steps=st.integers(0, 3))
    def pause_and_lift(self, customer: int, purpose: str, steps: int) -> None:
        self.decide(api=APIS[0], customer=customer, purpose=purpose, kind=PAUSED, gates=None)
        self.run(steps=steps, buys=True)
        self.decide(api=APIS[0], customer=customer, purpose=purpose, kind=LIFTED, gates=None)

    @rule(customer=CUSTOMER)
    def register(self, customer: int) -> None:
        if self.made.processes["api 1"].idle:
            self.made.register("api 1", customer)

    @precondition(lambda self: len(self.made.oracle.events) < MAX_EVENTS)
    @rule(customer=CUSTOMER, ahead_ms=st.sampled_from(AHEAD_MS))
    def event(self, customer: int, ahead_ms: int) -> None:
        made, time_ms = self.made, self.made.now_ms + ahead_ms
        event = made.oracle.event(SUBJECTS[customer], time_ms, made.now_ms)
        line = OrderLine(kind="completed", order_id="O", sku="LAMP", quantity=4**event.index, amount=Decimal(1))
        raw = orders.encode(id=f"e{event.index}", source="model", subject=event.subject, time=iso(time_ms), data=line)
        made.broker.append(EVENTS, event.subject.encode(), raw)

    @rule(offset=st.integers(0, 2 * MAX_EVENTS))
    def repeat_event(self, offset: int) -> None:
        """A client sends an event again."""
        log = self.made.broker.logs[EVENTS]
        one = log[offset % len(log)]
        assert one.value is not None
        index = int(orders.decode(one.value).values[QUANTITY]).bit_length() // 2
        self.made.oracle.events[index].recorded_ms.append(self.made.now_ms)
        self.made.broker.append(EVENTS, one.key, one.value)

    @precondition(lambda self: "dead letters" in self.faults)
    @rule(gates=GATES)
    def replay_dead_letters(self, gates: int | None) -> None:
        if self.made.processes["operator"].idle:
            self.made.work()
            self.made.replay_dead_letters(self.allowed(gates))
            self.made.work()

    @rule(name=st.sampled_from(STEPS), gates=GATES)
    def step(self, name: str, gates: int | None) -> None:
        """One process does its work, perhaps a part of it."""
        made, gates = self.made, self.allowed(gates)
        if name in made.processes and not made.processes[name].idle:
            return
        if name == "audit":
            made.audit(gates)
        elif name == "relay":
            made.relay(gates)
        elif name == "evictions":
            made.evict(gates)
        elif name in made.verifiers:
            made.verify(name, gates)
        elif name in JOURNALS[: len(made.comparers)]:
            made.journalize(name, gates)

    def allowed(self, gates: int | None) -> int | None:
        return gates if "pause" in self.faults else None

    @invariant()
    def check(self) -> None:
        self.made.check()

    @invariant()
    def remember(self) -> None:
        """Before a rule: what backups and standbys may have, if the rule's changes are lost."""
        self.made.remember(SNAPSHOTS)
