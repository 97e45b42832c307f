"""Log of events that Kafka has acknowledged: a file of JSON lines a source, which DuckDB reads afterwards."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import duckdb

from featurestore.aggregations.base import Kind
from featurestore.catalog import registry
from featurestore.definitions import EventSource
from tests.chaos.customers import Customer, ExpectedPermission

ORIGIN = "chaos"
COLUMNS = {
    Kind.INTEGER: "BIGINT",
    Kind.SCALED: "DECIMAL(18,4)",
    Kind.FLOAT: "DOUBLE",
    Kind.TEXT: "VARCHAR",
    Kind.BOOLEAN: "BOOLEAN",
}
NO_END_MS = 2**62
KEY_COLUMNS = {"customer": "VARCHAR", "t_ms": "BIGINT", "event_id_hash": "BIGINT", "kafka_ms": "BIGINT"}


def columns(source: EventSource) -> dict[str, str]:
    return KEY_COLUMNS | {name: COLUMNS[field.kind] for name, field in source.fields.items()}


class WrittenEvents:
    """Acknowledged events by source. One thread adds; ``database`` is called afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events = 0
        folder.mkdir()
        self._files = {name: (folder / f"{name}.jsonl").open("w", encoding="utf-8") for name in registry.sources}

    def add(self, source: str, customer: str, event_id: str, time_ms: int, kafka_ms: int, data: dict[str, Any]) -> None:
        identity = f"{len(ORIGIN)}|{ORIGIN}|{event_id}".encode()
        event_id_hash = int.from_bytes(blake2b(identity, digest_size=8).digest(), "big") >> 1
        row = {"customer": customer, "t_ms": time_ms, "event_id_hash": event_id_hash, "kafka_ms": kafka_ms, **data}
        self._files[source].write(json.dumps(row) + "\n")
        self.events += 1

    def database(self, customers: list[Customer]) -> duckdb.DuckDBPyConnection:
        """A table a source, and ``grants``: from which time on each customer's events count for each purpose.

        Those that Kafka had before ``from_ms`` or from ``until_ms`` on do not count under a row.
        """
        db = duckdb.connect()
        for name, source in registry.sources.items():
            self._files[name].close()
            fields = ", ".join(f"{column}: '{type_}'" for column, type_ in columns(source).items())
            file = self.folder / f"{name}.jsonl"
            db.execute(f"CREATE TABLE {name} AS SELECT * FROM read_json('{file}', columns={{{fields}}})")
        db.execute(
            "CREATE TABLE grants (customer VARCHAR, purpose VARCHAR, since_ms BIGINT, from_ms BIGINT, until_ms BIGINT)"
        )
        grants = [
            (customer.customer_id, purpose, *row)
            for customer in customers
            for purpose, permission in customer.expected.items()
            for row in rows_of(permission)
        ]
        db.executemany("INSERT INTO grants VALUES (?, ?, ?, ?, ?)", grants)
        return db


def rows_of(permission: ExpectedPermission) -> list[tuple[int, int, int]]:
    """The rows of ``grants`` of a permission: since, from and until."""
    if permission.since_ms is None:
        return []
    own_start_ms = permission.since_ms if permission.counts_from_ms is None else permission.counts_from_ms
    intervals = (*permission.before, (permission.since_ms, NO_END_MS))
    return [(own_start_ms, from_ms, until_ms) for from_ms, until_ms in intervals]


def create_counted_events(db: duckdb.DuckDBPyConnection, source: str, purpose: str) -> None:
    """Create the view ``events``: a source's events at or after a purpose's grant, by event and Kafka timestamp."""
    db.execute(
        f"""
        CREATE OR REPLACE TEMP VIEW events AS SELECT written.* FROM {source} AS written JOIN grants USING (customer)
        WHERE purpose = '{purpose}' AND t_ms >= since_ms AND kafka_ms >= from_ms AND kafka_ms < until_ms
        """
    )


def kafka_times(
    db: duckdb.DuckDBPyConnection, source: str, customer: Customer, from_ms: int, until_ms: int
) -> list[int]:
    """Kafka's timestamps of a customer's events of a source, from one time until before another."""
    found = db.execute(
        f"SELECT DISTINCT kafka_ms FROM {source} WHERE customer = ? AND kafka_ms >= ? AND kafka_ms < ? ORDER BY 1",
        [customer.customer_id, from_ms, until_ms],
    )
    return [row[0] for row in found.fetchall()]


@contextmanager
def counted_too(
    db: duckdb.DuckDBPyConnection, customer: Customer, purpose: str, row: tuple[int, int, int]
) -> Iterator[None]:
    """Count, until the block ends, further events of a customer: ``row`` is since, from and until."""
    db.execute("INSERT INTO grants VALUES (?, ?, ?, ?, ?)", [customer.customer_id, purpose, *row])
    yield
    db.execute("DELETE FROM grants WHERE (customer, purpose, since_ms, from_ms, until_ms) = (?, ?, ?, ?, ?)",
               [customer.customer_id, purpose, *row])  # fmt: skip
