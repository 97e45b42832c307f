"""Verifier of the whole store: a thread with a NodeVerifier for each node, so that no node delays another."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import structlog
from django.db import connections

from featurestore.consent.vouching.node_verifier import NodeVerifier
from featurestore.store.protocol import Node, OnlineStore, Run, StoreUnavailable

log = structlog.get_logger(__name__)

STEP_S = 0.5
MAX_NODES = 1000


class StoreVerifier:
    """Verifies every node until ``stop`` is set. Nodes of a cluster may join and leave meanwhile."""

    def __init__(self, store: OnlineStore, expiry_ms: int, stop: threading.Event):
        self.store, self.expiry_ms, self.stop = store, expiry_ms, stop
        self._vouch_times: dict[Run | None, float] = {None: time.monotonic()}
        self._nodes: Sequence[Node] = ()
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
        for thread in self._threads.values():
            thread.result()

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
                node, self.expiry_ms, stopping=lambda: self._is_over(node), vouch_times=self._vouch_times
            )
            while not self._is_over(node):
                verifier.step()
                self.stop.wait(STEP_S)
        finally:
            connections.close_all()

    def _is_over(self, node: Node) -> bool:
        return self.stop.is_set() or node not in self._nodes
