"""Consent journal in memory, and the comparison of a store verifier's process with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from featurestore.consent.journal.comparison import JournalComparer
from featurestore.consent.journal.records import JournalRecord, decode, encode
from featurestore.consent.journal.topic import Entry, JournalUnreadable
from tests.kit.clock import Clock


@dataclass
class MemoryJournal:
    """The journal's topic, as bytes. ``available``: Kafka answers. ``first``: the offset of the oldest record."""

    name: str = "journal.in-memory"
    records: list[bytes] = field(default_factory=list)
    available: bool = True
    first: int = 0
    id: str = "one"

    def append(self, records: Sequence[JournalRecord]) -> dict[int, str]:
        if not self.available:
            return {record.token: "broker unavailable" for record in records}
        self.records += map(encode, records)
        return {}

    def topic_id(self) -> str:
        return self.id

    def bounds(self) -> range:
        if not self.available:
            raise JournalUnreadable("broker unavailable")
        return range(self.first, max(self.first, len(self.records)))

    def read(self, offsets: range) -> Iterator[list[Entry]]:
        for offset in offsets:
            yield [Entry(offset, decode(self.records[offset]))]

    def decoded(self) -> list[JournalRecord]:
        return [decode(raw) for raw in self.records]


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def comparer(journal: MemoryJournal, clock: Clock) -> JournalComparer:
    """The comparison of one store verifier's process."""
    return JournalComparer(journal, clock)
