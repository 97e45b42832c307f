"""State tables: bytes by partition and key, one table an event source, durable in their changelog topic."""

from collections.abc import Iterable
from typing import Any, cast

import faust
import faust.tables
from faust.types import TP

from featurestore import names
from featurestore.config import Settings
from streams.fetch_batches import PassthroughSchema
from streams.changelog import Changelog
from streams.recovery import Recovery
from streams.table_stores import Changes, TableStore, make_store


class TableManager(faust.tables.TableManager):
    """Faust's with our recovery, without the second it waits for modules that may still declare a table."""

    @property
    def recovery(self) -> Recovery:
        if self._recovery is None:
            self._recovery = Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return cast(Recovery, self._recovery)

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class BytesTable(faust.Table):
    """A Faust table that keeps undecoded bytes in a store of ours."""

    def __init__(self, app: Any, kind: str, **options: Any) -> None:
        super().__init__(app, **options)
        self._kind = kind

    def _new_store(self) -> Any:
        return make_store(self._kind, self.app, self)


class StateTable:
    """One event source's table. Call it only for a partition that this worker owns."""

    def __init__(self, source: str, table: BytesTable, changelog: Changelog) -> None:
        self.source = source
        self.changelog_topic: str = table.changelog_topic_name
        self._table = table
        self._changelog = changelog

    def get(self, partition: int, key: bytes) -> bytes | None:
        return self._store.read(partition, key)

    def get_many(self, partition: int, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """The values of those ``keys`` that have one."""
        return self._store.read_many(partition, keys)

    def keys_after(self, partition: int, last: bytes, most: int) -> list[bytes]:
        """The first keys of a partition behind ``last``, in their order."""
        return self._store.keys_after(partition, last, most)

    async def commit(self, partition: int, changes: Changes) -> None:
        """Make ``changes`` durable, then visible; ``None`` deletes. An error of the broker's propagates."""
        if not changes:
            return
        written = await self._changelog.append(self.changelog_topic, partition, changes)
        self._store.write(partition, changes, self._whole_up_to(partition, written))

    @property
    def _store(self) -> TableStore:
        return cast(TableStore, self._table.data)

    def _whole_up_to(self, partition: int, written: list[range]) -> int | None:
        """Tell Faust's recovery that our own writes need no reading.

        Only while they are contiguous: a record that somebody else wrote in between must still be read (trap 9).
        """
        offsets = cast(TableManager, self._table.app.tables).recovery.active_offsets
        tp = TP(self.changelog_topic, partition)
        for batch in written:
            if offsets.get(tp) != batch.start - 1:
                return None
            offsets[tp] = batch.stop - 1
        return written[-1].stop - 1


def state_table(app: faust.App, settings: Settings, source: str, changelog: Changelog) -> StateTable:
    """Declare a source's table to Faust."""
    topic = app.topic(
        names.changelog(source, settings.generation),
        schema=PassthroughSchema(),
        partitions=settings.partitions,
        acks=False,
        allow_empty=True,
    )
    name = f"{source}.g{settings.generation}"
    table = BytesTable(app, settings.stream_tables, name=name, partitions=settings.partitions, changelog_topic=topic)
    app.tables.add(table)
    return StateTable(source, table, changelog)
