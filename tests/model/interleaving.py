"""Processes whose operations can be interleaved at their calls to store and broker.

An operation runs in a greenlet. At a gate (before each such call, and before its answer is used) it pauses, if the
machine said so, and other processes run; it continues later, or never: then the process died there. No transaction is
open at a gate, since nothing is published before its commit; so all greenlets share one database connection.
"""

from collections.abc import Callable
from typing import Any

from greenlet import greenlet

from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import StoreUnavailable

UNGATED = {"owns", "is_outdated", "now_ms"}
"""Calls that ask nothing which another process could change meanwhile."""


class Schedule:
    """The process that runs now, and those that were killed in the middle of an operation."""

    def __init__(self) -> None:
        self.current: Process | None = None
        self.killed: list[greenlet] = []

    def gate(self, name: str) -> None:
        """A point at which the present operation may pause."""
        if self.current is not None:
            self.current.pause_maybe(name)

    def close(self) -> None:
        for one in self.killed:
            one.throw()
        self.killed.clear()


class Process:
    """One process, and the operation in which it is, if any. ``node``: the store node that it reaches.

    ``reaches_store`` and ``reaches_database``: whether it does now.
    """

    def __init__(self, schedule: Schedule, name: str, node: MemoryStore) -> None:
        self.schedule, self.name, self.node = schedule, name, node
        self.reaches_store = self.reaches_database = True
        self.store = ProcessStore(self)
        self.paused_at = ""
        self._greenlet: greenlet | None = None
        self._gates: int | None = None

    @property
    def idle(self) -> bool:
        return self._greenlet is None

    def begin(self, operation: Callable[[], object], gates: int | None = None) -> None:
        """Run an operation, to its end or to the gate of this number."""
        assert self.idle, f"{self.name} is at {self.paused_at}"
        self._greenlet = greenlet(operation)
        self.resume(gates)

    def resume(self, gates: int | None = None) -> None:
        """Continue the operation, to its end or through so many gates."""
        assert self._greenlet is not None
        before, self.schedule.current, self._gates = self.schedule.current, self, gates
        self._greenlet.parent = greenlet.getcurrent()
        try:
            self._greenlet.switch()
        finally:
            self.schedule.current = before
            if self._greenlet.dead:
                self._greenlet, self.paused_at = None, ""

    def kill(self) -> None:
        """End the process at its gate: nothing of the operation's rest is carried out."""
        if self._greenlet is not None:
            self.schedule.killed.append(self._greenlet)
            self._greenlet, self.paused_at = None, ""

    def pause_maybe(self, name: str) -> None:
        if self._gates is None:
            return
        self._gates -= 1
        if self._gates < 0:
            self.paused_at = name
            parent = self._greenlet.parent if self._greenlet else None
            assert parent is not None
            parent.switch()


class ProcessStore:
    """The store as a process reaches it: a node, with gates before and after each call."""

    name = ""

    def __init__(self, process: Process) -> None:
        self._process = process

    def nodes(self) -> "tuple[ProcessStore]":
        return (self,)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in UNGATED:
            return getattr(self._process.node, name)

        def call(*arguments: Any, **options: Any) -> Any:
            process = self._process
            process.schedule.gate(name)
            if not process.reaches_store:
                raise StoreUnavailable(f"{process.name} does not reach the store")
            answer = getattr(process.node, name)(*arguments, **options)
            process.schedule.gate(f"{name} answered")
            return answer

        return call
