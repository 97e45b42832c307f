"""Stores of a table's bytes, by partition: a dictionary or a RocksDB.

Both are Faust stores, so Faust's rebalancing and recovery drive them; neither is touched through Faust's mapping
interface, which guesses the partition from the current event and searches all of them otherwise.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import rocksdict
from faust.stores import memory, rocksdb
from faust.types import TP, CollectionT

from streams.table_folders import delete_outdated

Changes = Mapping[bytes, bytes | None]

ROCKSDB_OPTIONS = {  # for each partition: Faust's own would be a block cache of 2 GiB each
    "block_cache_size": 8 * 2**20,
    "write_buffer_size": 8 * 2**20,
    "max_write_buffer_number": 2,
    "target_file_size_base": 16 * 2**20,
    "bloom_filter_size": 10,
    "max_open_files": 64,
}
LARGEST_MANIFEST_BYTES = 1
"""A manifest names the first and last key of every file, also of files that are no more: each change begins another."""
COMPACTION_DUE, COMPACTING = b"\0compaction-due", b"\0compacting"
"""Keys that a partition has from a purge on, and while its files are compacted: so the end of a process loses none."""


class TableStore(Protocol):
    """Bytes by partition and key.

    The names are not those of a mapping: Faust's stores are mappings already.
    """

    def read(self, partition: int, key: bytes) -> bytes | None: ...

    def read_many(self, partition: int, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """The values of those ``keys`` that have one."""
        ...

    def keys_after(self, partition: int, last: bytes, most: int) -> list[bytes]:
        """At most ``most`` keys of a partition after ``last``, in their order."""
        ...

    def write(self, partition: int, changes: Changes, offset: int | None) -> None:
        """Store ``changes``; ``None`` deletes. ``offset``: up to which the partition now holds its changelog."""
        ...

    def note_purge(self, partition: int) -> None:
        """Note that what was deleted or replaced until now has to leave the disk."""
        ...

    def due_compactions(self) -> list[int]:
        """The partitions of this worker that were purged and not compacted since."""
        ...

    def compact(self, partition: int) -> None:
        """Rewrite the files of a partition without what was deleted or replaced. It may run in any thread."""
        ...

    def open_folders(self) -> set[Path]:
        """The folders of this worker's partitions."""
        ...


class MemoryTableStore(memory.Store):
    """Table store of a dictionary a partition."""

    def __post_init__(self) -> None:
        self.partitions: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._sorted_keys: dict[int, list[bytes]] = {}  # of partitions read in pages, until a key is added or deleted

    def read(self, partition: int, key: bytes) -> bytes | None:
        return self.partitions[partition].get(key)

    def read_many(self, partition: int, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        values = self.partitions[partition]
        return {key: values[key] for key in keys if key in values}

    def keys_after(self, partition: int, last: bytes, most: int) -> list[bytes]:
        if partition not in self._sorted_keys:
            self._sorted_keys[partition] = sorted(self.partitions[partition])
        keys = self._sorted_keys[partition]
        first = bisect_right(keys, last)
        return keys[first : first + most]

    def write(self, partition: int, changes: Changes, offset: int | None) -> None:
        values = self.partitions[partition]
        if any((key in values) is (value is None) for key, value in changes.items()):
            self._sorted_keys.pop(partition, None)
        for key, value in changes.items():
            if value is None:
                values.pop(key, None)
            else:
                values[key] = value

    def note_purge(self, partition: int) -> None:
        """Nothing of it is on a disk."""

    def due_compactions(self) -> list[int]:
        return []

    def compact(self, partition: int) -> None:
        """Nothing of it is on a disk."""

    def open_folders(self) -> set[Path]:
        return set()

    async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly: set[TP], generation_id: int = 0) -> None:
        """Free the memory of revoked partitions: when one returns, its changelog is read from the beginning."""
        for topic, partition in revoked:
            if topic in self.table.changelog_topic.topics:
                self.partitions.pop(partition, None)
                self._sorted_keys.pop(partition, None)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Nothing is left over from other partitions."""


class RocksDbOptions(rocksdb.RocksDBOptions):
    """Faust's options of a RocksDB, with manifests that name no key for long."""

    def as_options(self) -> Any:
        options = super().as_options()
        options.set_max_manifest_file_size(LARGEST_MANIFEST_BYTES)
        return options


class RocksDbTableStore(rocksdb.Store):
    """Table store of a RocksDB a partition, with the changelog offset it holds: a restart reads only what follows."""

    def __init__(self, *arguments: Any, usable_for: timedelta, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.usable_for = usable_for
        self.rocksdb_options = RocksDbOptions(**(self.options or {}), use_rocksdict=self.use_rocksdict)

    def read(self, partition: int, key: bytes) -> bytes | None:
        return self._db_for_partition(partition).get(key)

    def read_many(self, partition: int, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        wanted = list(keys)
        found = self._db_for_partition(partition).get(wanted) if wanted else []
        return {key: value for key, value in zip(wanted, found, strict=True) if value is not None}

    def keys_after(self, partition: int, last: bytes, most: int) -> list[bytes]:
        keys, own = self._db_for_partition(partition).keys(from_key=last), {self.offset_key, COMPACTION_DUE, COMPACTING}
        return list(islice((key for key in keys if key not in (last, *own)), most))

    def write(self, partition: int, changes: Changes, offset: int | None) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        if offset is not None:
            batch.put(self.offset_key, str(offset).encode())
        self._db_for_partition(partition).write(batch)

    def note_purge(self, partition: int) -> None:
        self._db_for_partition(partition).put(COMPACTION_DUE, b"")

    def due_compactions(self) -> list[int]:
        marks = [COMPACTION_DUE, COMPACTING]
        return [partition for partition, db in list(self._dbs.items()) if any(one is not None for one in db.get(marks))]

    def compact(self, partition: int) -> None:
        """As described. A purge meanwhile makes another compaction due.

        A manifest begins with the files from before the change that it was begun for. So a change follows that finds
        none of the purged: the flush at the end.
        """
        db = self._dbs.get(partition)
        if db is None:
            return  # revoked meanwhile: its next worker finds the mark, or has no files yet
        db.put(COMPACTING, b"")
        db.delete(COMPACTION_DUE)
        db.compact_range(None, None)
        db.delete(COMPACTING)
        db.flush()

    def open_folders(self) -> set[Path]:
        return {self.partition_path(partition) for partition in self._dbs}

    def _open_for_partition(self, partition: int) -> Any:
        delete_outdated(self.partition_path(partition), self.usable_for)
        return super()._open_for_partition(partition)


def create_table_store(kind: str, app: Any, table: CollectionT, usable_for: timedelta) -> Any:
    """A store of ``kind`` (``memory`` or ``rocksdb``) for ``table``. ``usable_for``: how long files that nobody writes
    to are continued with.
    """
    if kind == "memory":
        return MemoryTableStore("memory://", app, table)
    options = dict(ROCKSDB_OPTIONS)
    return RocksDbTableStore("rocksdb://", app, table, options=options, driver="rocksdict", usable_for=usable_for)
