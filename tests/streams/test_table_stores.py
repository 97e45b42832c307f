"""Table stores, in memory and in RocksDB: bytes by partition and key."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from faust.types import TP

from featurestore import names
from featurestore.config import Settings
from streams.app import Pipeline, create_app

pytestmark = pytest.mark.anyio

CHANGELOG = names.changelog("orders", 1)


@pytest.fixture(params=["memory", "rocksdb"])
def kind(request: pytest.FixtureRequest) -> Literal["memory", "rocksdb"]:
    return request.param


async def ignore(batches: object) -> None:
    """Handle nothing."""


def table(kind: Literal["memory", "rocksdb"], folder: Path) -> Any:
    app = create_app(
        Settings(stream_tables=kind, stream_data_dir=folder),
        ["orders"],
        lambda app: Pipeline(["t"], ignore),
        lambda topics: {},
    )
    app._create_directories()
    return app.state_tables["orders"]


@pytest.fixture
def store(kind: Literal["memory", "rocksdb"], tmp_path: Path) -> Iterator[Any]:
    return table(kind, tmp_path).data


def content(store: Any, partition: int) -> dict[bytes, bytes]:
    """Everything of a partition."""
    return store.read_many(partition, store.keys_after(partition, b"", 1_000))


def test_partitions_hold_separate_values(store: Any) -> None:
    store.write(0, {b"a": b"1", b"b": b"2"}, None)
    store.write(1, {b"a": b"3"}, None)
    assert store.read(0, b"a") == b"1"
    assert store.read(1, b"a") == b"3"
    assert store.read(1, b"b") is None
    assert store.read_many(0, [b"a", b"b", b"c"]) == {b"a": b"1", b"b": b"2"}
    assert store.read_many(0, []) == {}


def test_deleted_keys_are_gone(store: Any) -> None:
    store.write(0, {b"a": b"1", b"b": b"2"}, 7)
    store.write(0, {b"a": None, b"never": None}, 8)
    assert store.read(0, b"a") is None
    assert content(store, 0) == {b"b": b"2"}


def test_rocksdb_stores_its_changelog_offset(tmp_path: Path) -> None:
    before, here = table("rocksdb", tmp_path).data, TP(CHANGELOG, 0)
    assert before.persisted_offset(here) is None
    before.write(0, {b"a": b"1"}, 41)
    before.write(0, {b"b": b"2"}, None)
    before._dbs.clear()
    after = table("rocksdb", tmp_path).data
    assert after.persisted_offset(here) == 41
    assert content(after, 0) == {b"a": b"1", b"b": b"2"}


async def test_memory_drops_a_revoked_partition(tmp_path: Path) -> None:
    """By the time it returns the changelog may have lost the tombstones."""
    store = table("memory", tmp_path).data
    store.write(0, {b"a": b"1"}, None)
    store.write(1, {b"a": b"1"}, None)
    await store.on_rebalance(set(), {TP(CHANGELOG, 0), TP("events.orders.g1", 1)}, set())
    assert content(store, 0) == {}
    assert content(store, 1) == {b"a": b"1"}


def test_keys_are_read_in_pages_in_order(store: Any) -> None:
    store.write(0, {b"d": b"4", b"b": b"2", b"a": b"1", b"c": b"3"}, 7)
    assert store.keys_after(0, b"", 3) == [b"a", b"b", b"c"]
    assert store.keys_after(0, b"c", 3) == [b"d"]
    assert store.keys_after(0, b"bb", 1) == [b"c"]
    assert store.keys_after(0, b"d", 3) == []
    store.write(0, {b"e": b"5", b"a": None}, 8)
    assert store.keys_after(0, b"", 9) == [b"b", b"c", b"d", b"e"]
