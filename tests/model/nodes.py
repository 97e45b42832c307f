"""Store node of a model, and snapshots of its database."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from featurestore.store.memory import MemoryStore
from featurestore.store.protocol import PublishResult
from tests.model.oracle import Oracle

OWN = ("_lock", "_clock", "oracle", "number", "_runs")
"""What a replica does not get from its master."""


class ModelNode(MemoryStore):
    """Store node that tells the oracle what was stored. No two nodes ever have the same run."""

    def __init__(self, clock: Callable[[], float], oracle: Oracle, number: int) -> None:
        super().__init__(clock)
        self.oracle, self.number = oracle, number
        self._runs = 1_000 * number

    def publish_permissions(self, permissions: Any, *others: Any, **options: Any) -> dict[str, PublishResult]:
        results = super().publish_permissions(permissions, *others, **options)
        for subject in permissions:
            self.oracle.published(subject, self._permissions[subject])
        return results

    def flush(self) -> None:
        """Lose everything, as by FLUSHALL: the run stays the same."""
        self.restart(emptied=True)
        self._runs -= 1

    def delete(self, subject: str) -> None:
        """Lose one subject's hash, as by DEL."""
        for contents in vars(self).values():
            if isinstance(contents, dict):
                contents.pop(subject, None)

    def contents(self) -> dict[str, Any]:
        """A copy of what a replica has."""
        kept = {name: value for name, value in vars(self).items() if name not in OWN}
        return {name: _copied(value) if isinstance(value, dict) else value for name, value in kept.items()}


def _copied(contents: dict[Any, Any]) -> dict[Any, Any]:
    return {key: dict(value) if isinstance(value, dict) else value for key, value in contents.items()}


@dataclass
class Snapshot:
    """State of the database at a time: a backup, or how far a standby has come. ``last_act``: the oracle's number."""

    database: sqlite3.Connection
    last_act: int


def copy(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Make a database what another one is."""
    source.backup(target)
