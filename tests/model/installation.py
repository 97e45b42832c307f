"""One installation in memory: database with its snapshots, store nodes, Kafka and journal, and what befalls them.

Time is injected everywhere: ``now_ms`` is the clock of database, processes, store and broker. ``HAS_...``: the machine
runs on earlier commits too, which lack a part.
"""

import sqlite3
from collections.abc import Callable
from datetime import datetime
from importlib.util import find_spec
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.models import Q

from featurestore import clock as clock_module
from featurestore.clock import moment
from featurestore.consent import services
from featurestore.consent.models import CurrentPermission
from featurestore.consent.outbox import purge_producer
from featurestore.customers.selectors import subject_of_customer
from featurestore.identity import partition_of
from featurestore.ingest import dead_letter_topic
from featurestore.serving.answer import Status
from featurestore.serving.reader import FeatureReader
from featurestore.store import configured
from featurestore.store.memory import MemoryStore
from streams import partition_queues, republisher
from tests.kit.clock import T0, ms
from tests.model import worker as worker_module
from tests.model.broker import Broker, DeadLetterTopicInMemory, PurgeTopic
from tests.model.interleaving import Process, Schedule
from tests.model.nodes import ModelNode, Snapshot, copy
from tests.model.oracle import Act, Oracle, Pair, denied
from tests.model.worker import HAS_PASSED_BY, PARTITIONS, SERVICE, StreamWorker

HAS_PAUSES = hasattr(services, "pause")
HAS_EVICTIONS = hasattr(MemoryStore, "evict")
HAS_JOURNAL = find_spec("featurestore.consent.journal") is not None
if HAS_JOURNAL:
    from featurestore.consent.models import KeptDenial
    from tests.model.journal import GatedJournal
if HAS_PASSED_BY:
    from tests.model.passed_by import GatedPassedBy

PURPOSES = ("service", "analytics")
CUSTOMERS = [
    name for number in range(200) if partition_of(subject_of_customer(name := f"customer {number}"), PARTITIONS) == 0
][:2]
SUBJECTS = [subject_of_customer(name) for name in CUSTOMERS]
APIS, VERIFIERS, JOURNALS = ("api 1", "api 2"), ("verifier 1", "verifier 2"), ("journal 1", "journal 2")
"""A verifier's process has a thread for the journal, and for the topic of passed-by subjects."""
PROCESSES = (*APIS, *VERIFIERS, *JOURNALS, "relay", "audit", "evictions", "operator", "worker")


class Installation:
    """Database, store, broker and processes. Close it at the end of an example."""

    def __init__(self, template: sqlite3.Connection) -> None:
        self.patch = pytest.MonkeyPatch()
        self.now_ms = ms(T0)
        copy(template, connection.connection)
        self.tell_time()
        self.oracle, self.schedule = Oracle(), Schedule()
        self.broker = Broker(lambda: self.now_ms, self.schedule.gate)
        self.journal = GatedJournal(self.schedule.gate) if HAS_JOURNAL else None
        self.passed_by = GatedPassedBy(lambda: self.now_ms, gate=self.schedule.gate) if HAS_PASSED_BY else None
        self.node_count, self.nodes = 0, list[ModelNode]()
        self.add_node()
        self.snapshots: list[Snapshot] = []
        self.replica = self.master.contents()
        self.processes = {name: Process(self.schedule, name, self.master) for name in PROCESSES}
        self.patch.setattr(configured, "store", self.reached_store)
        self.patch.setattr(purge_producer, "purge_producer", lambda: PurgeTopic(self.broker))
        self.patch.setattr(dead_letter_topic, "connect", DeadLetterTopicInMemory(self.broker).connect)
        for module in (partition_queues, republisher):
            self.patch.setattr(module, "end_process", worker_module.end_process)
        connection.execute_wrappers.append(self.execute)
        self.workers: list[StreamWorker] = []
        self.start_worker()

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
        self.schedule.close()
        connection.execute_wrappers.remove(self.execute)
        for worker in self.workers:
            worker.stop()
        self.patch.undo()

    # ------------------------------------------------------------------------------------------------ time and state

    @property
    def now(self) -> datetime:
        return moment(self.now_ms)

    def seconds(self) -> float:
        return self.now_ms / 1000

    def pass_ms(self, passed_ms: int) -> None:
        self.now_ms += passed_ms
        self.tell_time()

    def tell_time(self) -> None:
        """Make the database's clock show the injected time."""
        now = self.now.strftime("%Y-%m-%d %H:%M:%S.%f")
        self.patch.setitem(clock_module.CLOCK_QUERIES, "sqlite", f"SELECT '{now}'")

    @property
    def master(self) -> ModelNode:
        return self.nodes[-1]

    def add_node(self) -> None:
        self.node_count += 1
        self.nodes.append(ModelNode(self.seconds, self.oracle, self.node_count))

    def start_worker(self) -> None:
        """Start a stream worker, which gets the partition."""
        process = self.processes["worker"]
        clock = lambda: self.now_ms  # noqa: E731
        self.workers.append(StreamWorker(process, self.broker, clock, self.table_changes, self.passed_by))

    def table_changes(self, key: bytes, before: bytes | None, after: bytes | None) -> None:
        if key.decode() in SUBJECTS:
            self.oracle.check_deletion(key.decode(), before, after)

    def execute(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        """Execute a statement of the process that runs now, if it reaches the database."""
        if self.schedule.current is not None and not self.schedule.current.reaches_database:
            raise OperationalError("the process does not reach the database")
        return execute(*arguments)

    def reached_store(self) -> Any:
        """The store as the process that runs now reaches it."""
        assert self.schedule.current is not None
        return self.schedule.current.store

    # ------------------------------------------------------------------------------------------------- what happens

    def remember(self, snapshots: int) -> None:
        """Keep the present state, as a backup and as what replicas of database and store have; only the last ones."""
        database = sqlite3.connect(":memory:", check_same_thread=False)
        copy(connection.connection, database)
        self.snapshots = [*self.snapshots[1 - snapshots :], Snapshot(database, self.oracle.numbers)]
        self.replica = self.master.contents()

    def fail_over(self, left_behind: set[str], *, lagging: bool) -> None:
        """Promote the replica. The processes left behind still reach the old master, all others the new one."""
        old = self.master
        self.add_node()
        vars(self.master).update(self.replica if lagging else old.contents())
        for process in self.processes.values():
            if process.node is old and process.name not in left_behind:
                process.node = self.master
        self.forget()

    def heal(self) -> None:
        """End partitions: old masters become replicas, and lose what the present one lacks."""
        del self.nodes[:-1]
        for process in self.processes.values():
            process.node = self.master
            process.reaches_store = process.reaches_database = True
        self.forget()

    def restore(self, snapshot: Snapshot) -> None:
        """Let the database lose what came after a snapshot."""
        copy(snapshot.database, connection.connection)
        self.oracle.database_lost(snapshot.last_act)
        self.forget()

    def forget(self) -> None:
        """Let the oracle know which lost denials nothing holds any more: neither store nor journal nor database."""
        journaled = self.journal.decisions() if self.journal is not None else set()

        def holds(pair: Pair, act: Act) -> bool:
            subject, purpose = pair
            if any(denied(node._permissions.get(subject), purpose) for node in self.nodes):
                return True
            if self.journal is None:
                return act.relayed  # it should stand in a journal
            rows = CurrentPermission.objects.filter(customer__subject=subject, purpose__name=purpose)
            recorded = rows.filter(Q(allowed=False) | Q(paused=True)).exists()
            kept = KeptDenial.objects.filter(subject=subject).exists()
            return recorded or kept or (subject, purpose, act.kind, act.sequence) in journaled

        self.oracle.forget(holds)

    # --------------------------------------------------------------------------------------------------- what is read

    def check(self) -> None:
        """Compare every answer of every node with the oracle."""
        for node in self.nodes:
            for pair, answer in self.answers(node).items():
                view, told = answer.views["bought"], f"at node {node.number}"
                self.oracle.check_answer(pair, view, answer.features, self.now_ms, told)
        self.oracle.check_grant_ids()

    def check_served(self) -> None:
        """Whether everybody is served who decided so last, once nothing is wrong any more."""
        for pair, answer in self.answers(self.master).items():
            view = answer.views["bought"]
            served = view.status in (Status.PRESENT, Status.MISSING)
            assert served or not self.oracle.is_allowed(pair), f"I6: {pair} allows it, and gets {view}"

    def answers(self, node: ModelNode) -> dict[Pair, Any]:
        reader, found = FeatureReader(node, PARTITIONS), {}
        for purpose in PURPOSES:
            answers = reader.read(SERVICE, purpose, SUBJECTS, now_ms=self.now_ms, timeout_ms=60_000)
            found.update(zip([(subject, purpose) for subject in SUBJECTS], answers, strict=True))
        return found
