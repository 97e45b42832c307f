"""Data locations that are topics of Kafka. Nothing is erased in them: a record goes by itself, within a stated time.

A record is about a person if its key is one of their identifiers or begins with a subject of theirs, or if its value
holds a subject of theirs: programs that are not ours write to event topics, too. So every partition is read. A cursor
is the position of the next record.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec

from featurestore.clock import moment
from featurestore.config import settings
from featurestore.locations import ErasePage, Item, Kind, Page, Person, Proof, Storage
from featurestore.servers.kafka import kafka_cluster
from featurestore.topic_scan import Position, ScannedRecord, TopicScan, parse_position

CALL_RECORDS = 50_000
"""So many records are read in one call at most: some tenths of a second."""


class ScanPage(NamedTuple):
    """The records about a person that one call found, of how many, and where the next call begins."""

    found: list[ScannedRecord]
    checked: int
    cursor: str | None


class TopicLocation(ABC):
    """Topics whose names match ``patterns``: of every generation, since nothing else reads those of an earlier one."""

    name: str
    title: str
    personal_data: str
    erased_by: str
    patterns: tuple[str, ...]
    derived_from: tuple[str, ...] = ()
    erased_after: tuple[str, ...] = ()

    @property
    def stored_in(self) -> tuple[Storage, ...]:
        return tuple(Storage(Kind.TOPIC, pattern) for pattern in self.patterns)

    @abstractmethod
    def gone_within(self) -> timedelta:
        """The longest time from an erasure until no record is left."""

    def is_in_scope(self, person: Person, topic: str) -> bool:
        """Whether the call is about a topic at all."""
        return person.whole

    def export(self, person: Person, after: str | None, limit: int) -> Page:
        """Nothing: what the records say is exported by another location."""
        return Page([], None)

    def erase(self, person: Person, after: str | None, limit: int) -> ErasePage:
        return ErasePage(0, 0, None)

    def pause(self, person: Person, actor: str, reason: str) -> int:
        return 0

    def prove(self, person: Person, after: str | None, limit: int) -> Proof:
        page = self.scan(person, after, limit)
        return Proof(len(page.found), page.checked, 0, page.cursor)

    def scan(self, person: Person, after: str | None, limit: int) -> ScanPage:
        """The records about the person from a cursor on: at most ``limit``, of CALL_RECORDS at most."""
        is_about = matcher_of(person)
        found: list[ScannedRecord] = []
        checked = 0
        with open_scan() as topics:
            for record in records_from(topics, self.positions(topics, person), after):
                checked += 1
                if is_about(record):
                    found.append(record)
                if len(found) == limit or checked == CALL_RECORDS:
                    return ScanPage(found, checked, str(record.at._replace(offset=record.at.offset + 1)))
        return ScanPage(found, checked, None)

    def positions(self, topics: TopicScan, person: Person) -> list[Position]:
        """The beginnings of the partitions to read, in order."""
        return [
            Position(topic, partition)
            for topic, partitions in topics.partitions(self.patterns).items()
            if self.is_in_scope(person, topic)
            for partition in range(partitions)
        ]


class ExportedTopicLocation(TopicLocation):
    """Topics whose records are exported themselves."""

    @abstractmethod
    def item(self, record: ScannedRecord) -> Item:
        """What a record tells the person."""

    def export(self, person: Person, after: str | None, limit: int) -> Page:
        page = self.scan(person, after, limit)
        return Page([self.item(record) for record in page.found], page.cursor)


def matcher_of(person: Person) -> Callable[[ScannedRecord], bool]:
    """Whether a record is about a person."""
    subjects = [subject.encode() for subject in person.subjects]
    keys = {*(identifier.encode(errors="surrogatepass") for identifier in person.identifiers)}

    def is_about(record: ScannedRecord) -> bool:
        return record.key in keys or any(
            record.key.startswith(subject) or subject in (record.value or b"") for subject in subjects
        )

    return is_about


def records_from(topics: TopicScan, positions: list[Position], after: str | None) -> Iterator[ScannedRecord]:
    """The records of these partitions from a cursor on. A partition that is gone meanwhile is passed over."""
    start = parse_position(after) if after else Position("", 0)
    for position in positions:
        if position[:2] >= start[:2]:
            yield from topics.read(start if position[:2] == start[:2] else position)


class KeptScan:
    """A reader that many calls use. It is opened by the first of them, and again after one that failed.

    ``looked_for``: the persons whom these calls are about, if all are known.
    """

    def __init__(self, looked_for: Sequence[Person] = ()) -> None:
        self.looked_for = looked_for
        self._scan: TopicScan | None = None

    def open(self) -> TopicScan:
        self._scan = self._scan or TopicScan(kafka_cluster(settings()))
        return self._scan

    def close(self) -> None:
        if self._scan is not None:
            self._scan.close()
            self._scan = None


_kept: ContextVar[KeptScan | None] = ContextVar("kept_scan", default=None)


@contextmanager
def kept_scan(looked_for: Sequence[Person] = ()) -> Iterator[None]:
    """Until the block ends, every call uses one reader: what Kafka has sent for one page is there for the next."""
    kept = KeptScan(looked_for)
    before = _kept.set(kept)
    try:
        yield
    finally:
        _kept.reset(before)
        kept.close()


def looked_for() -> Sequence[Person]:
    """The persons whom the calls of this block are about; none, if a call is made by itself."""
    kept = _kept.get()
    return kept.looked_for if kept else ()


@contextmanager
def open_scan() -> Iterator[TopicScan]:
    """A reader of the Kafka that the settings name."""
    kept = _kept.get()
    used = kept or KeptScan()
    try:
        yield used.open()
    except BaseException:
        used.close()
        raise
    if kept is None:
        used.close()


def json_of(value: bytes | None) -> dict[str, Any]:
    """A record's value as JSON; what is none as its text, as far as it is one."""
    try:
        decoded = msgspec.json.decode(value or b"{}")
    except msgspec.MsgspecError:
        return {"text": (value or b"").decode(errors="replace")}
    return decoded if isinstance(decoded, dict) else {"value": decoded}


def time_of(record: ScannedRecord) -> Any:
    """Kafka's timestamp of a record; None without one."""
    return moment(record.timestamp_ms) if record.timestamp_ms > 0 else None
