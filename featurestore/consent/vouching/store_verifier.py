"""Verifier of the whole store: a thread with a NodeVerifier for each node, so that no node delays another."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import structlog
from django.db import DatabaseError, InterfaceError, connections

from featurestore.consent.vouching.journal_comparison import JournalComparison
from featurestore.consent.vouching.lease import HeldLease
from featurestore.consent.vouching.node_verifier import NodeVerifier
from featurestore.consent.vouching.passed_by_subjects import PassedBySubjects
from featurestore.store.protocol import Node, OnlineStore, StoreUnavailable

log = structlog.get_logger(__name__)

STEP_S = 0.5
MAX_NODES = 1000


class StoreVerifier:
    """Verifies every node until ``stop`` is set. Nodes of a cluster may join and leave meanwhile."""

    def __init__(
        self,
        store: OnlineStore,
        expiry_ms: int,
        stop: threading.Event,
        journal: JournalComparison | None = None,
        clock_is_behind: Callable[[], bool] = lambda: False,
        passed_by: PassedBySubjects | None = None,
    ):
        self.clock_is_behind, self.passed_by = clock_is_behind, passed_by
        self.store, self.expiry_ms, self.stop, self.journal = store, expiry_ms, stop, journal
        self._nodes: Sequence[Node] = ()
        self.lease = HeldLease(lambda: self._nodes, expiry_ms)
        self._threads: dict[Node, Future[None]] = {}

    def run(self) -> None:
        """Raises the error of a node's verifier: the process must end, or that node would be denied for good."""
        with ThreadPoolExecutor(MAX_NODES, thread_name_prefix="node-verifier") as threads:
            try:
                while not self.stop.is_set():
                    self._start_threads(threads)
                    self.stop.wait(STEP_S)
            finally:
                self.stop.set()
        self._release()
        for thread in self._threads.values():
            thread.result()

    def _release(self) -> None:
        """Release the lease, now that no thread vouches any more: a successor then takes over at once."""
        try:
            self.lease.release()
        except (DatabaseError, InterfaceError) as error:
            log.warning("verifier lease not released, a successor waits until it has expired", error=str(error))

    def _start_threads(self, threads: ThreadPoolExecutor) -> None:
        """Start a thread for each new node. The thread of a node that left ends by itself."""
        for node, thread in list(self._threads.items()):
            if thread.done():
                thread.result()
                del self._threads[node]
        try:
            self._nodes = self.store.nodes()
        except StoreUnavailable as error:
            log.warning("nodes of the store unknown, the last list is kept", reason=str(error))
            return
        for node in self._nodes:
            if node not in self._threads:
                self._threads[node] = threads.submit(self._verify, node)

    def _verify(self, node: Node) -> None:
        try:
            verifier = NodeVerifier(
                node,
                self.expiry_ms,
                stopping=lambda: self._is_over(node),
                lease=self.lease,
                journal=self.journal,
                clock_is_behind=self.clock_is_behind,
                passed_by=self.passed_by,
            )
            while not self._is_over(node):
                verifier.step()
                self.stop.wait(STEP_S)
        finally:
            connections.close_all()

    def _is_over(self, node: Node) -> bool:
        return self.stop.is_set() or node not in self._nodes
