"""Changelogs that are read once for several persons: each gets what is true now, and no record is read twice."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from featurestore.ingest.locations import state_tables
from featurestore.ingest.locations.state_tables import StateTableLocation
from featurestore.locations import Person
from featurestore.topic_locations import kept_scan
from featurestore.topic_scan import Position, ScannedRecord
from tests.locations.written_facts import PARTITIONS, Servers, changelog

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
numbers = itertools.count()


@dataclass
class Pair:
    """Two persons in one partition, whose subjects no other test uses; the keys of the records that were read."""

    subjects: tuple[str, str]
    persons: list[Person]
    keys: list[str] = field(default_factory=list)

    def reads(self) -> list[int]:
        """How many records were read, by subject."""
        return [self.keys.count(subject) for subject in self.subjects]


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Pair:
    number, read = next(numbers), state_tables.TopicScan.read
    subjects = (f"{1:08x}{number:024x}", f"{1 + PARTITIONS:08x}{number:024x}")
    pair = Pair(subjects, [Person(subjects=(subject,)) for subject in subjects])

    def counted(scan: state_tables.TopicScan, start: Position) -> Iterator[ScannedRecord]:
        for record in read(scan, start):
            pair.keys.append(record.key.decode())
            yield record

    monkeypatch.setattr(state_tables.TopicScan, "read", counted)
    return pair


def traces(location: StateTableLocation, persons: Sequence[Person]) -> list[int]:
    """What is found of each person, by as many calls as it takes."""
    found = []
    with kept_scan(persons):
        for person in persons:
            cursor, calls = None, 0
            while calls == 0 or cursor is not None:
                proof = location.prove(person, cursor, 100)
                cursor, calls = proof.cursor, calls + 1
            found.append(proof.traces)
    return found


def write(servers: Servers, *subjects: str, value: bytes | None = b"state") -> None:
    for subject in subjects:
        servers.produce(changelog(), subject, value)


def test_record_is_read_once_for_all_persons_and_calls(servers: Servers, pair: Pair) -> None:
    (ann, bob), location = pair.subjects, StateTableLocation()
    write(servers, ann, bob, ann)
    assert traces(location, pair.persons) == [1, 1]
    write(servers, ann, value=None)
    assert traces(location, list(pair.persons)) == [0, 1]
    assert pair.reads() == [3, 1]
    write(servers, ann)
    assert traces(location, list(pair.persons)) == [1, 1]


def test_proof_counts_the_records_that_were_looked_at_for_the_person(servers: Servers, pair: Pair) -> None:
    location = StateTableLocation()
    write(servers, *pair.subjects)
    alone = location.prove(pair.persons[0], None, 100).checked
    with kept_scan(pair.persons):
        assert [location.prove(person, None, 100).checked for person in pair.persons] == [alone, alone]


def test_person_who_comes_later_is_read_for_from_the_beginning(servers: Servers, pair: Pair) -> None:
    location = StateTableLocation()
    write(servers, *pair.subjects)
    with kept_scan(pair.persons[:1]):
        assert location.prove(pair.persons[0], None, 100).traces == 1
    assert traces(location, pair.persons) == [1, 1]
    assert pair.reads() == [2, 2]


def test_another_process_goes_on_at_the_cursor(servers: Servers, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    write(servers, *pair.subjects)
    with monkeypatch.context() as short, kept_scan(pair.persons):
        short.setattr(state_tables, "CALL_RECORDS", 1)
        location, cursor = StateTableLocation(), None
        while not pair.reads()[0]:
            cursor = location.prove(pair.persons[0], cursor, 100).cursor
    with kept_scan(pair.persons):
        assert StateTableLocation().prove(pair.persons[0], cursor, 100).traces == 1
    assert pair.reads() == [1, 1]


def test_call_outside_of_a_walk_reads_everything_itself(servers: Servers, pair: Pair) -> None:
    location = StateTableLocation()
    write(servers, *pair.subjects)
    assert [location.prove(pair.persons[0], None, 100).traces for _ in range(2)] == [1, 1]
    assert pair.reads() == [2, 2]
