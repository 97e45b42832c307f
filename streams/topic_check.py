"""Comparison of the topics with those that the tables were made from, at each assignment and each minute.

A topic that was deleted and made anew under its name begins at offset 0 again; one restored from a backup, at an
earlier offset than before. The tables hold events up to a later one, so new events would be taken for applied ones and
skipped, without a sign. So each table stores, by partition, the id of its topics and where they ended.

Of the purge topic nothing would be skipped. But purges that were in it may never have been read: every subject of the
partition is purged instead (``streams.partition_purge``).
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec
from faust.types import TP

from featurestore import names
from streams.generation import settings_of_next
from streams.tables import StateTable

KEY = b"\0topics"  # no subject begins with a null byte
ATTEMPTS, RETRY_S = 5, 1.0  # a partition's new leader may report an earlier end for a moment

DescribeTopics = Callable[[Collection[str]], Mapping[str, str]]
"""The ids of the topics that exist, by name; "" on brokers that have no ids. Raises KafkaException."""


class KnownTopic(msgspec.Struct, array_like=True, frozen=True):
    """A topic, as a table's partition knows it: ``end`` is the offset after its last record (0 of a changelog)."""

    id: str
    end: int

    def fault(self, now: "KnownTopic") -> str | None:
        """Why the topic is not the same any more."""
        if self.id and now.id and self.id != now.id:
            return "was deleted and made anew"
        return f"ends at offset {now.end}, and ended at {self.end} before" if now.end < self.end else None


class TopicRefused(RuntimeError):
    """A topic is not the one from which the tables were made. The message states the command that mends it."""


DECODER = msgspec.msgpack.Decoder(dict[str, KnownTopic])
Partition = tuple[str, int]  # of a source's topics, or of a topic


class TopicCheck:
    """Check of a worker's topics. ``tables``: by source. ``consumer``: Faust's."""

    def __init__(self, tables: Mapping[str, StateTable], generation: int, describe: DescribeTopics) -> None:
        self.tables, self.generation, self.describe = tables, generation, describe
        self.purge_topic = names.purge(generation)
        self.ends: dict[TP, int] = {}  # of the last check, until the positions of an assignment are compared with them

    async def check(self, consumer: Any, partitions: Collection[int], *, store: bool) -> set[int]:
        """Compare the topics, and store what is new. Returns the partitions whose purges may be lost.

        Raises TopicRefused; KafkaError or KafkaException if Kafka does not answer. The purge topic of the partitions
        returned is stored by ``accept_purge_topic`` only.
        """
        known = {(source, n): self._known(source, n) for source in self.tables for n in partitions}
        found = await self._ask(consumer, partitions)
        for _ in range(ATTEMPTS - 1):
            if not any(topic.end < before.end for topic, before in self._pairs(known, found)):
                break
            await asyncio.sleep(RETRY_S)
            found = await self._ask(consumer, partitions)
        lost, faults = set(), dict[str, str]()
        for (_, n), topics in known.items():
            for name, before in topics.items():
                fault = before.fault(found[name, n])
                if fault and name == self.purge_topic:
                    lost.add(n)
                elif fault:
                    faults.setdefault(name, fault)
        if faults:
            raise TopicRefused(self._remedy(faults))
        for (source, n), topics in known.items() if store else ():
            present = {name: found[name, n] for name in self._topics(source)}
            if n in lost:
                del present[self.purge_topic]
            await self._store(source, n, topics, present)
        if store:
            self.ends = {TP(name, n): topic.end for (name, n), topic in found.items()}
        return lost

    async def accept_purge_topic(self, consumer: Any, partition: int) -> None:
        """Store the purge topic as it is now: no subject of the partition holds anything that should be purged."""
        found = await self._ask(consumer, [partition])
        for source in self.tables:
            purge_topic = {self.purge_topic: found[self.purge_topic, partition]}
            await self._store(source, partition, self._known(source, partition), purge_topic)

    def check_positions(self, positions: Mapping[TP, int]) -> None:
        """Compare committed offsets with the ends at the assignment. Raises TopicRefused if one is behind its end."""
        ends, self.ends = self.ends, {}
        faults = {
            tp.topic: f"ends at offset {ends[tp]}, and events up to {offset} were read"
            for tp, offset in positions.items()
            if tp.topic != self.purge_topic and offset > ends.get(tp, offset)
        }
        if faults:
            raise TopicRefused(self._remedy(faults))

    def _topics(self, source: str) -> tuple[str, str, str]:
        return names.events(source, self.generation), names.changelog(source, self.generation), self.purge_topic

    @property
    def _changelogs(self) -> set[str]:
        return {names.changelog(source, self.generation) for source in self.tables}

    def _known(self, source: str, partition: int) -> dict[str, KnownTopic]:
        raw = self.tables[source].contents.read(partition, KEY)
        return DECODER.decode(raw) if raw else {}

    async def _store(
        self, source: str, partition: int, before: Mapping[str, KnownTopic], present: Mapping[str, KnownTopic]
    ) -> None:
        topics = {name: topic for name, topic in {**before, **present}.items() if name in self._topics(source)}
        if topics != before:
            await self.tables[source].commit(partition, {KEY: msgspec.msgpack.encode(topics)})

    async def _ask(self, consumer: Any, partitions: Collection[int]) -> dict[Partition, KnownTopic]:
        topics = {name for source in self.tables for name in self._topics(source)}
        ids = await asyncio.to_thread(self.describe, topics)
        if missing := sorted(topics - ids.keys()):
            raise TopicRefused(self._remedy(dict.fromkeys(missing, "was deleted")))
        read = [TP(name, n) for name in sorted(topics - self._changelogs) for n in partitions]
        ends = await consumer.highwaters(*read) if read else {}
        return {(name, n): KnownTopic(ids[name], ends.get(TP(name, n), 0)) for name in topics for n in partitions}

    @staticmethod
    def _pairs(
        known: Mapping[Partition, Mapping[str, KnownTopic]], found: Mapping[Partition, KnownTopic]
    ) -> list[tuple[KnownTopic, KnownTopic]]:
        return [(found[name, n], before) for (_, n), topics in known.items() for name, before in topics.items()]

    def _remedy(self, faults: Mapping[str, str]) -> str:
        return (
            f"{'; '.join(f'{name} {fault}' for name, fault in sorted(faults.items()))}. The tables would take new "
            f"events for applied ones. Start a new generation, which begins empty: set "
            f"{settings_of_next(self.generation)} (or a later time, by which no event is sent to the old topics "
            f"any more) for every process and run: python -m streams topics apply"
        )
