"""What a table keeps its bytes in, by partition: a dictionary or a RocksDB.

Both are Faust stores, so Faust's rebalancing and recovery drive them; neither is touched through Faust's mapping
interface, which guesses the partition from the event at hand and searches all of them otherwise.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Protocol

import rocksdict
from faust.stores import memory, rocksdb
from faust.types import TP, CollectionT

Changes = Mapping[bytes, bytes | None]

ROCKSDB_OPTIONS = {  # for each partition: Faust's own would be a block cache of 2 GiB each
    "block_cache_size": 8 * 2**20,
    "write_buffer_size": 8 * 2**20,
    "max_write_buffer_number": 2,
    "target_file_size_base": 16 * 2**20,
    "bloom_filter_size": 10,
    "max_open_files": 64,
}


class TableStore(Protocol):
    """Bytes by partition and key. ``offset``: the changelog offset up to which the partition is now whole.

    The names are not those of a mapping: Faust's stores are mappings already.
    """

    def read(self, partition: int, key: bytes) -> bytes | None: ...
    def read_many(self, partition: int, keys: Iterable[bytes]) -> dict[bytes, bytes]: ...
    def keys_after(self, partition: int, last: bytes, most: int) -> list[bytes]: ...
    def write(self, partition: int, changes: Changes, offset: int | None) -> None: ...


class MemoryStore(memory.Store):
    """A dictionary a partition."""

    def __post_init__(self) -> None:
        self.partitions: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._ordered: dict[int, list[bytes]] = {}  # keys of partitions that are read in pages, until one comes or goes

    def read(self, partition: int, key: bytes) -> bytes | None:
        return self.partitions[partition].get(key)

    def read_many(self, partition: int, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        kept = self.partitions[partition]
        return {key: kept[key] for key in keys if key in kept}

    def keys_after(self, partition: int, last: bytes, most: int) -> list[bytes]:
        if partition not in self._ordered:
            self._ordered[partition] = sorted(self.partitions[partition])
        keys = self._ordered[partition]
        first = bisect_right(keys, last)
        return keys[first : first + most]

    def write(self, partition: int, changes: Changes, offset: int | None) -> None:
        kept = self.partitions[partition]
        if any((key in kept) is (value is None) for key, value in changes.items()):
            self._ordered.pop(partition, None)
        for key, value in changes.items():
            if value is None:
                kept.pop(key, None)
            else:
                kept[key] = value

    async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly: set[TP], generation_id: int = 0) -> None:
        """Drop what went to another worker: by its return the changelog may have lost the tombstones."""
        for topic, partition in revoked:
            if topic in self.table.changelog_topic.topics:
                self.partitions.pop(partition, None)
                self._ordered.pop(partition, None)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Nothing is left over from other partitions."""


class RocksDbStore(rocksdb.Store):
    """A RocksDB a partition, with the offset it is whole up to, so that a restart reads only the tail."""

    def read(self, partition: int, key: bytes) -> bytes | None:
        return self._db_for_partition(partition).get(key)

    def read_many(self, partition: int, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        asked = list(keys)
        found = self._db_for_partition(partition).get(asked) if asked else []
        return {key: value for key, value in zip(asked, found, strict=True) if value is not None}

    def keys_after(self, partition: int, last: bytes, most: int) -> list[bytes]:
        keys = self._db_for_partition(partition).keys(from_key=last)
        return list(islice((key for key in keys if key not in (last, self.offset_key)), most))

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


def make_store(kind: str, app: Any, table: CollectionT) -> Any:
    """A store of ``kind`` (``memory`` or ``rocksdb``) for ``table``."""
    if kind == "memory":
        return MemoryStore("memory://", app, table)
    return RocksDbStore("rocksdb://", app, table, options=dict(ROCKSDB_OPTIONS), driver="rocksdict")
