"""A voucher for each node of the store, in a thread of its own: one that is away or filled anew delays no other."""

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
MOST_NODES = 1000


class StoreVerifier:
    """Vouches until ``stop`` is set, for the nodes that there are: a cluster's may come and go."""

    def __init__(self, store: OnlineStore, expiry_ms: int, stop: threading.Event):
        self.store, self.expiry_ms, self.stop = store, expiry_ms, stop
        self._words: dict[Run | None, float] = {None: time.monotonic()}
        self._nodes: Sequence[Node] = ()
        self._threads: dict[Node, Future[None]] = {}

    def run(self) -> None:
        """Raises what a voucher raised: its node would be denied for good."""
        with ThreadPoolExecutor(MOST_NODES, thread_name_prefix="node-verifier") as threads:
            try:
                while not self.stop.is_set():
                    self._follow(threads)
                    self.stop.wait(STEP_S)
            finally:
                self.stop.set()
        for thread in self._threads.values():
            thread.result()

    def _follow(self, threads: ThreadPoolExecutor) -> None:
        """Have a thread for each node; that of a node which is none any more ends by itself."""
        for node, thread in list(self._threads.items()):
            if thread.done():
                thread.result()
                del self._threads[node]
        try:
            self._nodes = self.store.nodes()
        except StoreUnavailable as error:
            log.warning("the store's nodes are as they were", reason=str(error))
            return
        for node in self._nodes:
            if node not in self._threads:
                self._threads[node] = threads.submit(self._vouch, node)

    def _vouch(self, node: Node) -> None:
        try:
            verifier = NodeVerifier(node, self.expiry_ms, stopping=lambda: self._over(node), words=self._words)
            while not self._over(node):
                verifier.step()
                self.stop.wait(STEP_S)
        finally:
            connections.close_all()

    def _over(self, node: Node) -> bool:
        return self.stop.is_set() or node not in self._nodes
