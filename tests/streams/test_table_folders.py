"""Folders of RocksDB tables: those that nobody uses are deleted, and those too old to continue with; no others."""

import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from featurestore.config import Settings
from featurestore.topic_retention import changelog_lag
from streams.app import App, Pipeline, create_app
from streams.table_folders import UnusedFolders, delete_outdated

LAG = changelog_lag(Settings())
KEY = b"a" * 32


async def ignore(batches: object) -> None:
    """Handle nothing."""


def app_in(folder: Path, kind: str = "rocksdb") -> App:
    settings = Settings(stream_tables=kind, stream_data_dir=folder)  # type: ignore[arg-type]
    app = create_app(settings, ["orders", "chat"], lambda app: Pipeline(["t"], ignore), lambda topics: {})
    app._create_directories()
    return app


@pytest.fixture
def app(tmp_path: Path) -> App:
    """A worker with two partitions of each of two tables."""
    app = app_in(tmp_path)
    for table in app.state_tables.values():
        for partition in (0, 1):
            table.contents.write(partition, {KEY: b"state"}, 7)
    return app


def unused_of(app: App) -> UnusedFolders:
    return UnusedFolders(app.state_tables.values(), lambda: app.conf.tabledir)


def folders(app: App) -> set[str]:
    return {path.name for path in app.conf.tabledir.glob("*.db")}


def revoke(app: App, source: str, partition: int) -> None:
    contents: Any = app.state_tables[source].contents
    del contents._dbs[partition]


def make_older(folder: Path, age: timedelta) -> None:
    for path in folder.iterdir():
        changed_s = path.stat().st_mtime - age.total_seconds()
        os.utime(path, (changed_s, changed_s))


def test_folder_of_a_lost_partition_is_deleted_at_the_second_call(app: App) -> None:
    before, unused = folders(app), unused_of(app)
    assert unused.delete() == []
    revoke(app, "orders", 1)
    assert unused.delete() == []
    assert [path.name for path in unused.delete()] == ["orders.g1-1.db"]
    assert folders(app) == before - {"orders.g1-1.db"}
    assert unused.delete() == []
    assert app.state_tables["orders"].contents.read(0, KEY) == b"state"


def test_folder_of_a_partition_that_returns_meanwhile_stays(app: App) -> None:
    before, unused = folders(app), unused_of(app)
    revoke(app, "orders", 1)
    assert unused.delete() == []
    assert app.state_tables["orders"].contents.read(1, KEY) == b"state"
    assert unused.delete() == []
    revoke(app, "orders", 1)
    assert unused.delete() == []
    assert folders(app) == before


def test_folder_that_can_not_be_deleted_is_told_and_tried_again(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    unused = unused_of(app)
    revoke(app, "orders", 1)
    unused.delete()
    with monkeypatch.context() as patched, capture_logs() as logs:
        patched.setattr(shutil, "rmtree", refuse)
        assert unused.delete() == []
    assert [line["error"] for line in logs] == ["read-only file system"]
    assert len(unused.delete()) == 1


def refuse(path: Path) -> None:
    raise OSError("read-only file system")


def test_folder_of_an_earlier_generation_is_deleted_and_other_files_are_not(app: App) -> None:
    earlier, another = app.conf.tabledir / "orders.g0-3.db", app.conf.tabledir / "notes"
    for folder in (earlier, another):
        folder.mkdir()
        (folder / "CURRENT").write_text("MANIFEST")
    unused = unused_of(app)
    assert unused.delete() == []
    assert unused.delete() == [earlier]
    assert another.exists()


def test_tables_in_memory_leave_no_folder_of_earlier_tables_in_files(app: App, tmp_path: Path) -> None:
    in_memory = app_in(tmp_path, "memory")
    unused = unused_of(in_memory)
    unused.delete()
    assert len(unused.delete()) == 4
    assert folders(in_memory) == set()


@pytest.mark.parametrize(("age", "outdated"), [(LAG * 0.4, False), (LAG * 0.6, True)])
def test_table_is_restored_from_its_beginning_if_its_files_are_so_old_that_tombstones_may_be_gone(
    app: App, tmp_path: Path, age: timedelta, outdated: bool
) -> None:
    folder = app.conf.tabledir / "orders.g1-1.db"
    revoke(app, "orders", 1)
    make_older(folder, age)
    contents: Any = app_in(tmp_path).state_tables["orders"].contents
    assert contents.read(1, KEY) == (None if outdated else b"state")
    assert contents._db_for_partition(1).get(contents.offset_key) == (None if outdated else b"7")


def test_folder_that_is_new_is_not_outdated(tmp_path: Path) -> None:
    assert not delete_outdated(tmp_path / "none", timedelta(0))
