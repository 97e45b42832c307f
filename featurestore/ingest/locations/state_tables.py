"""Data locations of the stream workers' state tables, and of the changelogs from which they are restored.

The workers have the tables in memory or in files, and speak through Kafka alone. A change is in the changelog before it
is in the table, so that a subject whose newest changelog record is a tombstone is in no table of a running worker.
"""

from collections.abc import Iterable
from datetime import timedelta

import msgspec
from confluent_kafka import Producer

from featurestore import names
from featurestore.config import settings
from featurestore.consent.models import SubjectVersion
from featurestore.consent.outbox import purge_producer
from featurestore.consent.outbox.purge_producer import Purge
from featurestore.identity import partition_of
from featurestore.ingest.locations.newest_states import Readings, ReadTogether, States
from featurestore.installed_catalog import catalog
from featurestore.locations import ErasePage, Kind, LocationUnavailable, Person, Proof, Storage
from featurestore.row_locations import reached_database
from featurestore.servers.kafka import kafka_cluster
from featurestore.tiles.state_record import UnknownFormat, decode
from featurestore.topic_locations import CALL_RECORDS, TopicLocation, looked_for, open_scan, records_from
from featurestore.topic_retention import changelog_lag, compacted_after
from featurestore.topic_scan import Position, ScannedRecord, TopicScan, parse_position

CHANGELOGS = ("rapport.*.changelog.g*",)
TOMBSTONE_TIMEOUT_MS = 5_000


class StateCursor(msgspec.Struct, array_like=True):
    """Where the next call begins, and what the newest records so far hold, by topic and subject: things, unreadable."""

    position: str = ""
    states: States = {}


class StatePage(msgspec.Struct):
    """What a call read. ``states`` is complete without a cursor."""

    states: States
    checked: int
    cursor: str | None


class StateTableLocation(TopicLocation):
    """State tables, as the newest record of each subject in a changelog says. Their values are exported by the store.

    The streams delete a subject's state when they are sent its purge and the store's permission names no purpose, and
    a purpose's state when the permission does not hold it. Tables of an earlier generation or of a removed source have
    no worker: theirs get a tombstone from here.
    """

    name, title = "state_tables", "State tables of the stream workers"
    personal_data = "By subject: tiles of every view and purpose, ids of events as 63-bit hashes, the last offset."
    erased_by = "A purge makes the streams delete a subject's state, in the table and by a tombstone in the changelog."
    patterns = CHANGELOGS
    derived_from = ("events",)
    erased_after = ("permissions",)

    def __init__(self) -> None:
        self._readings = Readings()

    @property
    def stored_in(self) -> tuple[Storage, ...]:
        return (*super().stored_in, Storage(Kind.FILE, f"{settings().stream_data_dir}/*"))

    def gone_within(self) -> timedelta:
        return timedelta(0)

    def erase(self, person: Person, after: str | None, limit: int) -> ErasePage:
        page = self._states(person, after)
        if page.cursor is not None:
            return ErasePage(0, 0, page.cursor)
        left = [name for name, (things, unreadable) in page.states.items() if things or unreadable]
        if left and person.whole:
            self._delete(left)
        return ErasePage(0, len(left), None)

    def prove(self, person: Person, after: str | None, limit: int) -> Proof:
        page = self._states(person, after)
        counts = page.states.values() if page.cursor is None else ()
        return Proof(sum(one for one, _ in counts), page.checked, sum(one for _, one in counts), page.cursor)

    def positions(self, topics: TopicScan, person: Person) -> list[Position]:
        return [
            Position(topic, partition)
            for topic, partitions in topics.partitions(self.patterns).items()
            for partition in sorted({partition_of(subject, partitions) for subject in person.subjects})
        ]

    def _states(self, person: Person, after: str | None) -> StatePage:
        """What the newest records of the subjects hold, up to where one call comes."""
        cursor = msgspec.json.decode(after, type=StateCursor) if after else StateCursor()
        together = self._readings.of(person, looked_for())
        if together and (not cursor.position or together.has_come_to(parse_position(cursor.position))):
            return self._states_together(together, person)
        states, checked = dict(cursor.states), 0
        subjects = {subject.encode() for subject in person.subjects}
        with open_scan() as topics:
            for record in records_from(topics, self.positions(topics, person), cursor.position):
                checked += 1
                if record.key in subjects:
                    states[f"{record.at.topic}/{record.key.decode()}"] = _held(person, record)
                if checked == CALL_RECORDS:
                    position = str(record.at._replace(offset=record.at.offset + 1))
                    return StatePage(states, checked, _encoded(StateCursor(position, states)))
        return StatePage(states, checked, None)

    def _states_together(self, together: ReadTogether, person: Person) -> StatePage:
        """The same, with what was read for others, too. Records are counted once all are read."""
        with open_scan() as topics:
            positions = self.positions(topics, person)
            left_at = together.read_on(topics, positions, _held, CALL_RECORDS)
        states = dict(together.states(person))
        if left_at is None:
            return StatePage(states, together.looked_at(positions), None)
        return StatePage(states, 0, _encoded(StateCursor(str(left_at), states)))

    def _delete(self, left: Iterable[str]) -> None:
        """Have the streams delete states, by topic and subject; those of no worker get their tombstones at once."""
        generation = settings().generation
        own = {names.changelog(source, generation) for source in catalog().registry.sources}
        purged: set[str] = set()
        orphans: list[tuple[str, str]] = []
        for name in left:
            topic, subject = name.split("/")
            if topic in own:
                purged.add(subject)
            else:
                orphans.append((topic, subject))
        if purged:
            with reached_database():
                rows = SubjectVersion.objects.filter(subject__in=purged)
                versions = dict(rows.values_list("subject", "sequence"))
            failures = purge_producer.purge_producer().send([Purge(one, versions.get(one, 0)) for one in purged])
            if failures:
                raise _unavailable(next(iter(failures.values())))
        if orphans:
            write_tombstones(orphans)


class ChangelogLocation(TopicLocation):
    """Changelogs, with the earlier records of a subject that compaction has not removed yet, and its tombstone."""

    name, title = "changelogs", "Changelogs"
    personal_data = "By subject: earlier versions of what the state tables hold."
    erased_by = "Compacted away, after RAPPORT_CHANGELOG_LAG_HOURS, and the tombstone so long after that."
    patterns = CHANGELOGS
    derived_from = ("state_tables",)
    erased_after = ("state_tables",)

    def gone_within(self) -> timedelta:
        return compacted_after(changelog_lag(settings()))


def _encoded(cursor: StateCursor) -> str:
    return msgspec.json.encode(cursor).decode()


def _held(person: Person, record: ScannedRecord) -> tuple[int, int]:
    """How many things a changelog record holds that the call is about, and whether it can't be read."""
    if record.value is None:
        return 0, 0
    if person.whole:
        return 1, 0
    source = record.at.topic.removeprefix("rapport.").partition(".changelog.")[0]
    try:
        views = decode(record.value).views
    except UnknownFormat:
        return 0, 1
    purposes = [purpose for states in views.values() for stored in states for purpose in stored.grant_ids]
    return sum(person.includes([purpose], source) for purpose in purposes), 0


def write_tombstones(keys: Iterable[tuple[str, str]]) -> None:
    """Write a tombstone for each topic and subject, and wait. Raises LocationUnavailable."""
    producer = Producer(
        {
            **kafka_cluster(settings()).librdkafka(),
            "acks": "all",
            "delivery.timeout.ms": TOMBSTONE_TIMEOUT_MS,
            "log_level": 0,
        }
    )
    errors: list[str] = []
    with open_scan() as topics:
        partitions = topics.partitions(CHANGELOGS)
    for topic, subject in keys:
        producer.produce(
            topic,
            None,
            subject.encode(),
            partition_of(subject, partitions[topic]),
            on_delivery=lambda error, _message: errors.append(error.str()) if error else None,
        )
    if producer.flush(TOMBSTONE_TIMEOUT_MS / 1000 + 1) or errors:
        raise _unavailable(errors[0] if errors else "the broker did not acknowledge a tombstone")


def _unavailable(reason: str) -> LocationUnavailable:
    return LocationUnavailable(f"Kafka at {kafka_cluster(settings())} does not answer: {reason}. Is it running?")
