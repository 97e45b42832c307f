"""Rewriting of every table of the database: its files then hold no byte of rows that were deleted or changed.

A deleted row stays in the files: of PostgreSQL in the free space of its page, which VACUUM alone does not overwrite,
and its values in the planner's statistics; of SQLite in free pages and the WAL. A table can't be used while it is
rewritten. PostgreSQL's own WAL is not rewritten: docs/data-locations.md says when that is gone.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.db import DatabaseError, connection

STATISTICS = "pg_catalog.pg_statistic"
LOCK_TIMEOUT = "SET lock_timeout = '60s'"
NOT_ALLOWED = "its owner, the owner of the database or a superuser must rewrite it"


class TableRewrite(NamedTuple):
    """A table that was rewritten; or why it was not."""

    table: str
    problem: str = ""


def rewrite_tables() -> Iterator[TableRewrite]:
    """Rewrite one table after the other. One that is in use for a minute does not stop the others."""
    if connection.vendor == "sqlite":
        yield _rewrite_sqlite()
        return
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(LOCK_TIMEOUT)
        try:
            for table in connection.introspection.table_names(cursor):
                yield _rewrite(connection.ops.quote_name(table), "FULL, ANALYZE")
            yield _rewrite(STATISTICS, "FULL")  # of a superuser
        finally:
            connection.close()  # the session's limits end with it


def _rewrite(table: str, options: str) -> TableRewrite:
    """PostgreSQL passes over a table that its user may not rewrite, and says so in a notice alone."""
    try:
        with connection.cursor() as cursor:
            before = _file_of(cursor, table)
            cursor.execute(f"VACUUM ({options}) {table}")
            unchanged = _file_of(cursor, table) == before
    except DatabaseError as error:
        return TableRewrite(table, str(error).strip().splitlines()[0])
    return TableRewrite(table, NOT_ALLOWED if unchanged else "")


def _file_of(cursor: Any, table: str) -> int:
    cursor.execute("SELECT pg_relation_filenode(%s::regclass)", [table])
    (number,) = cursor.fetchone()
    return int(number)


def _rewrite_sqlite() -> TableRewrite:
    """The whole file; then the WAL, which must have no reader."""
    name = str(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        busy, *_ = cursor.fetchone()
    return TableRewrite(name, "its WAL is in use: stop the processes, or try again" if busy else "")
