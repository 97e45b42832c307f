"""State tables without Kafka."""

from collections.abc import Iterable, Mapping


class MemoryStateTable:
    """A state table of one partition, in memory, that lists its commits; it is its own ``contents``."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.contents = self
        self.commits: list[dict[bytes, bytes | None]] = []

    def read(self, partition: int, key: bytes) -> bytes | None:
        return self.values.get(key)

    def read_many(self, partition: int, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        return {key: self.values[key] for key in keys if key in self.values}

    def keys_after(self, partition: int, last: bytes, most: int) -> list[bytes]:
        return sorted(key for key in self.values if key > last)[:most]

    def note_purge(self, partition: int) -> None:
        """Nothing of it is on a disk."""

    async def commit(self, partition: int, changes: Mapping[bytes, bytes | None]) -> None:
        self.commits.append(dict(changes))
        for key, value in changes.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value
