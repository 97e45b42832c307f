"""State tables: bytes by partition and key, one table an event source, durable in their changelog topics.

Invariant: a change is acknowledged in the changelog before the table shows it.
"""

from datetime import timedelta
from typing import Any, cast

import faust
import faust.tables
from faust.types import TP

from featurestore import names
from featurestore.config import Settings
from featurestore.topic_retention import changelog_lag
from streams.changelog import Changelog
from streams.fetch_batches import PassthroughSchema
from streams.recovery import Recovery
from streams.table_stores import Changes, TableStore, create_table_store


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


class StateTable(faust.Table):
    """One event source's Faust table, of undecoded bytes. Use it only for a partition that this worker owns."""

    def __init__(self, app: Any, kind: str, changelog: Changelog, usable_for: timedelta, **options: Any) -> None:
        super().__init__(app, **options)
        self._kind, self._changelog_writer, self._usable_for = kind, changelog, usable_for

    def _new_store(self) -> Any:
        return create_table_store(self._kind, self.app, self, self._usable_for)

    @property
    def contents(self) -> TableStore:
        """The bytes, to read; ``commit`` changes them."""
        return cast(TableStore, self.data)

    async def commit(self, partition: int, changes: Changes) -> None:
        """Make ``changes`` durable, then visible; ``None`` deletes. An error of the broker's propagates."""
        if not changes:
            return
        written = await self._changelog_writer.append(self.changelog_topic_name, partition, changes)
        self.contents.write(partition, changes, self._complete_up_to(partition, written))

    def _complete_up_to(self, partition: int, written: list[range]) -> int | None:
        """Advance the offset from which Faust's recovery would read; returns it, None if it stays where it is."""
        offsets = cast(TableManager, self.app.tables).recovery.active_offsets
        tp = TP(self.changelog_topic_name, partition)
        for batch in written:
            if offsets.get(tp) != batch.start - 1:  # another writer wrote in between: that must be read (trap 9)
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
    usable_for = changelog_lag(settings) / 2  # of the lag for which tombstones stay at least
    options = {"name": name, "partitions": settings.partitions, "changelog_topic": topic}
    table = StateTable(app, settings.stream_tables, changelog, usable_for, **options)
    app.tables.add(table)
    return table
