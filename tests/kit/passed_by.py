"""Topic of passed-by subjects in memory."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

import pytest

from featurestore.consent.passed_by.topic import GoesOn, TopicRecord, TopicUnreadable, always
from featurestore.passed_by import key_of
from tests.kit.clock import at, ms


@dataclass
class MemoryPassedBy:
    """The topic: keys in order, with the times of their appends, and whether they are tombstones.

    ``now_ms`` is the broker's clock. ``available``: Kafka answers.
    """

    now_ms: Callable[[], int]
    name: str = "passed-by.in-memory"
    records: list[TopicRecord] = field(default_factory=list)
    available: bool = True
    id: str = "one"
    end: int = 0

    def pass_by(self, subject: str, token: str = "a") -> None:
        """Write an entry, as a stream worker does."""
        self.write([key_of(subject, token)])

    def compact(self) -> None:
        """Remove tombstones, and what they removed."""
        last = {record.key: record for record in self.records}
        self.records = [one for one in self.records if one is last[one.key] and not one.removed]

    def make_anew(self) -> None:
        self.records, self.id, self.end = [], f"{self.id} again", 0

    def open_keys(self) -> set[bytes]:
        last = {record.key: record.removed for record in self.records}
        return {key for key, removed in last.items() if not removed}

    def topic_id(self) -> str:
        self._check()
        return self.id

    def bounds(self, goes_on: GoesOn = always) -> range:
        self._check(goes_on)
        return range(self.end)

    def read(self, offsets: range, goes_on: GoesOn = always) -> Iterator[TopicRecord]:
        self._check(goes_on)
        yield from [record for record in self.records if record.offset in offsets]

    def write(self, keys: Collection[bytes]) -> None:
        self._append(keys, removed=False)

    def remove(self, keys: Collection[bytes]) -> None:
        self._append(keys, removed=True)

    def _append(self, keys: Collection[bytes], *, removed: bool) -> None:
        self._check()
        for key in keys:
            self.append_record(key, removed=removed)

    def append_record(self, key: bytes, *, removed: bool = False) -> None:
        self.records.append(TopicRecord(self.end, self.now_ms(), key, removed))
        self.end += 1

    def _check(self, goes_on: GoesOn = always) -> None:
        if not (self.available and goes_on()):
            raise TopicUnreadable("broker unavailable")


@pytest.fixture
def topic() -> MemoryPassedBy:
    """The topic half a minute after the beginning; ``now_ms`` may be replaced."""
    return MemoryPassedBy(lambda: ms(at(30)))
