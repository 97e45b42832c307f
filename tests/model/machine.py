"""State machine that Hypothesis drives: the rules of ``steps``; processes that pause, die and are replaced; faults.

After each rule every answer of every node is compared with the oracle.
"""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.model.installation import APIS, HAS_JOURNAL, JOURNALS, PURPOSES, SUBJECTS, VERIFIERS
from tests.model.interleaving import Process
from tests.model.steps import CUSTOMER, GATES, OPPOSITE, SNAPSHOTS, STEPS, Steps

WORKER_GATES = st.none() | st.integers(1, 8)


class Machine(Steps):
    """The steps, with everything that may go wrong."""

    # ---------------------------------------------------------------------------------------- pauses, deaths, zombies

    @property
    def paused(self) -> list[Process]:
        return [process for process in self.made.processes.values() if not process.idle]

    @precondition(lambda self: self.paused)
    @rule(number=st.integers(0, 5), gates=GATES)
    def resume(self, number: int, gates: int | None) -> None:
        self.paused[number % len(self.paused)].resume(gates)

    @precondition(lambda self: "kill" in self.faults and self.paused)
    @rule(number=st.integers(0, 5))
    def kill(self, number: int) -> None:
        """A process dies in the middle of an operation."""
        process = self.paused[number % len(self.paused)]
        process.kill()
        for pair in zip(VERIFIERS, JOURNALS, strict=True):  # two threads of one process
            if process.name in pair:
                for name in pair:
                    self.made.processes[name].kill()
                self.made.start_verifier(pair[0])

    @precondition(lambda self: "worker" in self.faults)
    @rule(number=st.integers(0, 1), gates=WORKER_GATES)
    def pump(self, number: int, gates: int | None) -> None:
        """A worker, perhaps one that was replaced, goes on a little."""
        worker = self.made.workers[-1 - number % len(self.made.workers)]
        worker.fetch()
        worker.pump(gates)

    @precondition(lambda self: "worker" in self.faults)
    @rule(zombie=st.booleans())
    def replace_worker(self, zombie: bool) -> None:
        """Another worker gets the partition. The one before is dead, or does not know it."""
        if not zombie:
            self.made.workers[-1].stop()
        self.made.start_worker()

    @property
    def disturbances(self) -> list[str]:
        possible = {"flush", "delete", "restart", "empty", "fail over", "database"}
        return [*sorted(possible & self.faults), "decide", "work"]

    @precondition(lambda self: "pause" in self.faults)
    @rule(
        name=st.sampled_from([*STEPS, APIS[1]]),
        decided=st.booleans(),
        gates=st.integers(0, 14),
        fault=st.runner().flatmap(lambda machine: st.sampled_from(machine.disturbances)),
    )
    def disturb(self, name: str, decided: bool, gates: int, fault: str) -> None:
        """A fault, or a decision, in the middle of a step, which then goes on. ``decided``: there was one before."""
        if decided:
            self.decide(api=APIS[0], customer=1, purpose=PURPOSES[0], kind=OPPOSITE, gates=None)
        before = self.paused
        if name == APIS[1]:
            self.decide(api=APIS[1], customer=0, purpose=PURPOSES[0], kind=OPPOSITE, gates=gates)
        else:
            self.step(name=name, gates=gates)
        disturbed = [process for process in self.paused if process not in before]
        if disturbed:
            match fault:
                case "flush":
                    self.flush()
                case "delete":
                    self.delete(customer=0)
                case "restart" | "empty":
                    self.restart_store(emptied=fault == "empty")
                case "fail over" if len(self.made.nodes) == 1:
                    self.fail_over(left_behind={disturbed[0].name}, lagging=False)
                case "database" if len(self.made.snapshots) > 1:
                    self.lose_commits(states_back=1)
                case "decide":
                    self.decide(api=APIS[0], customer=0, purpose=PURPOSES[0], kind=OPPOSITE, gates=None)
                case "work":
                    self.made.work()
            self.check()
        for process in disturbed:
            process.resume()

    # -------------------------------------------------------------------------------------------------------- faults

    @precondition(lambda self: "flush" in self.faults)
    @rule()
    def flush(self) -> None:
        self.made.master.flush()
        self.made.forget()

    @precondition(lambda self: "delete" in self.faults)
    @rule(customer=CUSTOMER)
    def delete(self, customer: int) -> None:
        self.made.master.delete(SUBJECTS[customer])
        self.made.forget()

    @precondition(lambda self: "restart" in self.faults)
    @rule(emptied=st.booleans())
    def restart_store(self, emptied: bool) -> None:
        self.made.master.restart(emptied=emptied)
        self.made.forget()

    @precondition(lambda self: "fail over" in self.faults and len(self.made.nodes) == 1)
    @rule(left_behind=st.sets(st.sampled_from([*APIS, *VERIFIERS, "worker"])), lagging=st.booleans())
    def fail_over(self, left_behind: set[str], lagging: bool) -> None:
        self.made.fail_over(left_behind, lagging=lagging)

    @precondition(lambda self: "cut off" in self.faults)
    @rule(name=st.sampled_from(VERIFIERS), database=st.booleans(), store=st.booleans())
    def cut_off(self, name: str, database: bool, store: bool) -> None:
        """A verifier reaches database and store, or one of them, or none."""
        for process in (name, JOURNALS[VERIFIERS.index(name)]):
            self.made.processes[process].reaches_database = database
            self.made.processes[process].reaches_store = store

    @precondition(lambda self: "cut off" in self.faults)
    @rule(name=st.sampled_from(APIS), store=st.booleans())
    def cut_off_api(self, name: str, store: bool) -> None:
        self.made.processes[name].reaches_store = store

    @precondition(lambda self: len(self.made.nodes) > 1)
    @rule()
    def heal(self) -> None:
        self.made.heal()

    @precondition(lambda self: "two verifiers" in self.faults and len(self.made.verifiers) == 1)
    @rule()
    def start_second_verifier(self) -> None:
        self.made.start_verifier(VERIFIERS[1])

    @precondition(lambda self: "database" in self.faults and len(self.made.snapshots) > 1)
    @rule(states_back=st.integers(1, SNAPSHOTS))
    def lose_commits(self, states_back: int) -> None:
        """A standby without the last commits is promoted, or a backup is restored."""
        self.made.restore(self.made.snapshots[-1 - min(states_back, len(self.made.snapshots) - 1)])

    @precondition(lambda self: HAS_JOURNAL and "database" in self.faults)
    @rule(gates=GATES)
    def take_over(self, gates: int | None) -> None:
        """The operator takes lost denials over."""
        if self.made.processes["operator"].idle:
            self.made.take_over(self.allowed(gates))

    @precondition(lambda self: HAS_JOURNAL and "journal" in self.faults)
    @rule(available=st.booleans())
    def cut_off_journal(self, available: bool) -> None:
        self.made.journal.available = available
        if self.made.passed_by is not None:
            self.made.passed_by.available = available

    # ----------------------------------------------------------------------------------------------------- the end

    @precondition(lambda self: HAS_JOURNAL)
    @rule()
    def recover(self) -> None:
        """Everything goes on, partitions end, the operator takes over what was lost: then everybody is served."""
        for process in self.paused:
            process.resume()
        self.made.heal()
        self.cut_off_journal(available=True)
        self.run(steps=2, buys=False)  # what was lost is noticed
        self.take_over(gates=None)
        self.stall(seconds=40)  # whoever may still vouch has stopped
        self.run(steps=8, buys=True)
        self.audit_twice()
        self.run(steps=4, buys=True)
        self.made.check_served()

    def audit_twice(self) -> None:
        """The audit repairs what it finds; the second one may find what the first could not judge yet."""
        for _ in range(2):
            self.made.pass_ms(301_000)  # the longest time until something is tried again
            self.run(steps=6, buys=False)
            self.step(name="audit", gates=None)
