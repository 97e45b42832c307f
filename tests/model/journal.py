"""Consent journal in memory, with gates, and what the processes of a model do with it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from featurestore.consent.change_sequence import load_change_sequence
from featurestore.consent.journal.losses import find_losses
from featurestore.consent.journal.records import JournalRecord, decode, encode
from featurestore.consent.journal.takeover import take_over
from featurestore.consent.journal.topic import Entry, JournalUnreadable
from featurestore.consent.vouching.latch import is_latched
from featurestore.store.protocol import OnlineStore


@dataclass
class GatedJournal:
    """The journal's topic. ``gate``: called before each call, and before its answer is used."""

    gate: Callable[[str], None]
    name: str = "consent.journal"
    records: list[bytes] = field(default_factory=list)
    available: bool = True

    def append(self, records: Sequence[JournalRecord]) -> dict[int, str]:
        self.gate("append to the journal")
        if not self.available:
            return {record.token: "broker unavailable" for record in records}
        self.records += map(encode, records)
        self.gate("appended to the journal")
        return {}

    def topic_id(self) -> str:
        return "one"

    def bounds(self) -> range:
        self.gate("read the journal")
        if not self.available:
            raise JournalUnreadable("broker unavailable")
        return range(len(self.records))

    def read(self, offsets: range) -> Iterator[list[Entry]]:
        if offsets:
            yield [Entry(offset, decode(self.records[offset])) for offset in offsets]

    def decisions(self) -> set[tuple[str, str, str, int]]:
        """Subject, purpose, decision and sequence of every decision that is journaled."""
        decoded = [decode(raw) for raw in self.records]
        return {(one.subject, e.purpose, e.decision, one.sequence) for one in decoded for e in one.evidence}


def take_over_denials(journal: GatedJournal, store: OnlineStore) -> None:
    """What manage.py take_over_denials --apply does."""
    losses = find_losses(journal, store)
    if losses.records or losses.journal_is_incomplete or is_latched(load_change_sequence()):
        take_over(losses, journal, "olivia")
