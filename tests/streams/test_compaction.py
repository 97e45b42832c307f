"""What was purged leaves the files of a RocksDB table; nothing else does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from devservers.file_search.encodings import needle_of
from devservers.file_search.search import Search
from featurestore.config import Settings
from streams.app import App, Pipeline, create_app
from streams.compaction import TableCompaction
from streams.table_folders import UnusedFolders

pytestmark = pytest.mark.anyio
ANN, BOB = (character * 32 for character in "ab")
NEEDLES = [needle_of("ann", ANN), needle_of("bob", BOB)]


async def ignore(batches: object) -> None:
    """Handle nothing."""


def app_in(folder: Path) -> App:
    settings = Settings(stream_tables="rocksdb", stream_data_dir=folder)
    app = create_app(settings, ["orders"], lambda app: Pipeline(["t"], ignore), lambda topics: {})
    app._create_directories()
    return app


@pytest.fixture
def table(tmp_path: Path) -> Any:
    """A table that has had states of both in files, and whose state of Ann was replaced, then deleted."""
    table = app_in(tmp_path).state_tables["orders"]
    for value in (b"first", b"second"):
        for subject in (ANN, BOB):
            table.contents.write(0, {subject.encode(): value + subject.encode()}, 1)
        table.contents._db_for_partition(0).flush()
    table.contents.write(0, {ANN.encode(): None}, 2)
    return table


def names_in(folder: Path) -> set[str]:
    return {one.needle for one in Search(NEEDLES).tree(folder)}


def compacted(tables: Sequence[Any]) -> TableCompaction:
    return TableCompaction(tables, 3600, UnusedFolders(tables, Path))


async def test_deleted_state_stays_in_files_until_a_purge_is_compacted(table: Any, tmp_path: Path) -> None:
    assert await compacted([table]).compact_due() == 0
    assert names_in(tmp_path) == {"ann", "bob"}
    table.contents.note_purge(0)
    assert await compacted([table]).compact_due() == 1
    assert names_in(tmp_path) == {"bob"}
    assert table.contents.read(0, BOB.encode()) == b"second" + BOB.encode()
    assert await compacted([table]).compact_due() == 0


async def test_value_that_was_replaced_leaves_the_files_too(table: Any, tmp_path: Path) -> None:
    table.contents.write(0, {BOB.encode(): b"third"}, 3)
    table.contents.note_purge(0)
    await compacted([table]).compact_due()
    assert not list(Search([needle_of("replaced", f"second{BOB}")]).tree(tmp_path))


async def test_purge_is_not_forgotten_by_a_restart_or_an_end_amid_a_compaction(table: Any, tmp_path: Path) -> None:
    table.contents.note_purge(0)
    table.contents._dbs.clear()
    table = app_in(tmp_path).state_tables["orders"]
    table.contents.read(0, b"")  # opens the partition
    assert table.contents.due_compactions() == [0]
    table.contents._db_for_partition(0).put(b"\0compacting", b"")
    table.contents._db_for_partition(0).delete(b"\0compaction-due")
    assert table.contents.due_compactions() == [0]
    assert table.contents.keys_after(0, b"", 9) == [BOB.encode()]


async def test_table_in_memory_has_nothing_to_compact(tmp_path: Path) -> None:
    settings = Settings(stream_tables="memory", stream_data_dir=tmp_path)
    app = create_app(settings, ["orders"], lambda app: Pipeline(["t"], ignore), lambda topics: {})
    contents = app.state_tables["orders"].contents
    contents.note_purge(0)
    contents.compact(0)
    assert contents.due_compactions() == []
