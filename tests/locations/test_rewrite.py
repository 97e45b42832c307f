"""Rewriting of tables: the files of a database hold nothing of deleted rows, and everything of the others."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from adminsite import table_rewrite
from adminsite.table_rewrite import rewrite_tables
from devservers.file_search.encodings import needle_of
from devservers.file_search.search import Search
from featurestore.customers.models import LegalHold
from tests.kit.clock import at

DELETED, KEPT = "canary-of-ann-5c1e", "canary-of-bob-5c1e"
pytestmark = pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)


def files() -> list[Path]:
    """The files of the database: of SQLite one and its WAL; of PostgreSQL those of its tables and indexes."""
    if connection.vendor == "sqlite":
        path = Path(connection.settings_dict["NAME"])
        return [path, path.with_name(f"{path.name}-wal")]
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")
        cursor.execute("SHOW data_directory")
        (folder,) = cursor.fetchone()
        cursor.execute("SELECT pg_relation_filepath(oid) FROM pg_class WHERE pg_relation_filepath(oid) IS NOT NULL")
        return [Path(folder) / path for (path,) in cursor.fetchall() if (Path(folder) / path).exists()]


def found() -> set[str]:
    search = Search([needle_of(name, name) for name in (DELETED, KEPT)])
    return {one.needle for path in files() if path.exists() for one in search.file(path)}


@pytest.fixture
def held(database: str) -> None:
    """Two rows, of which one was deleted after statistics were taken."""
    for subject in (DELETED, KEPT):
        for number in range(40):
            times = {"begins_at": at(1), "placed_by": "Staff S", "placed_at": at(number)}
            LegalHold.objects.create(subject=subject, reason=f"claim {number}", **times)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    LegalHold.objects.filter(subject=DELETED).delete()


def test_deleted_rows_stay_in_the_files_until_the_tables_are_rewritten(held: None) -> None:
    assert found() == {DELETED, KEPT}
    out = StringIO()
    call_command("locations", "rewrite", stdout=out)
    assert out.getvalue().count(": rewritten") >= 1
    assert found() == {KEPT}
    assert LegalHold.objects.count() == 40


def test_table_that_can_not_be_rewritten_is_told_and_the_others_are_rewritten(
    held: None, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database == "sqlite":
        monkeypatch.setattr(table_rewrite, "_rewrite_sqlite", lambda: table_rewrite.TableRewrite("file", "in use"))
    else:
        monkeypatch.setattr(table_rewrite, "STATISTICS", "no_such_table")
    out = StringIO()
    with pytest.raises(CommandError, match=r"Not rewritten: (file|no_such_table)"):
        call_command("locations", "rewrite", stdout=out)
    assert len(list(rewrite_tables())) == out.getvalue().count("\n")
