"""A customer with canaries passes through a running installation, and is erased: no byte of them is left on any disk.

Before, everything that holds a trace must be a data location: the tables, topics, keys and open files are listed, and
each is owned by a location or on the list of what holds no personal data; what is on that list is searched. The same
search of raw files must find the customer in every location. bench/privacy has the search; ``make prove-privacy`` is
the long run.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer
from redis import Redis

from bench.privacy.canaries import EXPECTED, Person
from bench.privacy.disk import OTHERS
from bench.privacy.passage import Passage, Trace
from bench.privacy.servers import STATING_TIMES, running_passage
from devservers.kafka.broker import Broker
from devservers.postgres_server import programs
from featurestore.locations import Kind
from featurestore.row_locations import data_locations

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.postgres, pytest.mark.timeout(900)]

CACHES_OF_POSTGRES = ("pg_statistic",)
"""Tables of PostgreSQL's own that repeat values of others: docs/data-locations.md says when these go."""
FILES = {
    r".*\.log": "logs: none of customers",
    r".*/beat(\.\w+)?": "beat's schedule: names of tasks",
    r"/tmp/pymp-.*": "memory that the processes of one server share: counts",
}
"""Files besides stream tables that processes of the project have open for writing, and what they hold."""


@pytest.fixture(scope="module")
def passage(kafka_broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Passage]:
    """An installation through which two customers have passed."""
    if not programs():
        pytest.skip("PostgreSQL's server programs are not installed")
    folder = tmp_path_factory.mktemp("locations")
    with running_passage(folder, kafka_broker, all_topics=False) as passage:
        for person in people(passage):
            passage.plant(person)
        yield passage


def people(passage: Passage) -> tuple[Person, Person]:
    """The one who is erased, and the one who stays."""
    return passage.person("identifier-of-ann", "Kästrel/ann-7f31"), passage.person(
        "identifier-of-bob", "Kästrel/bob-7f31"
    )


@pytest.fixture(scope="module")
def ann(passage: Passage) -> Person:
    return people(passage)[0]


@pytest.fixture(scope="module")
def bob(passage: Passage) -> Person:
    return people(passage)[1]


@pytest.fixture(scope="module")
def before(passage: Passage, ann: Person) -> tuple[set[tuple[str, str]], list[Trace]]:
    """What is found of Ann before her erasure. It fails if that is not all, or if something is not encrypted."""
    return passage.found_before(ann)


@pytest.fixture(scope="module")
def traces(before: tuple[set[tuple[str, str]], list[Trace]]) -> list[Trace]:
    return before[1]


def test_search_finds_the_customer_in_every_location_and_no_plain_text_of_what_is_encrypted(
    before: tuple[set[tuple[str, str]], list[Trace]],
) -> None:
    assert {location for location, _ in before[0]} == set(EXPECTED)


def test_every_table_is_owned_or_holds_nothing_of_customers(passage: Passage, traces: list[Trace]) -> None:
    with psycopg.connect(passage.database_url) as database:
        names = [name for (name,) in database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    assert len(names) > 30
    impersonal = unowned(Kind.TABLE, names)
    assert [str(trace) for trace in traces if trace.area.kind == "table" and trace.area.name in impersonal] == []
    others = {trace.area.name for trace in traces if trace.area.kind == "table"} - set(names)
    assert others <= set(CACHES_OF_POSTGRES)


def test_every_topic_is_owned_or_holds_nothing_of_customers(passage: Passage, traces: list[Trace]) -> None:
    options = {**passage.made.kafka_options(), "group.id": "watch", "log_level": 0}
    consumer = Consumer(options)
    topics = [topic for topic in consumer.list_topics(timeout=30).topics if passage.disk.topics.fullmatch(topic)]
    consumer.close()
    assert len(topics) > 10
    impersonal = unowned(Kind.TOPIC, topics)
    assert [str(trace) for trace in traces if trace.area.kind == "topic" and trace.area.name in impersonal] == []


def test_every_key_of_redis_is_owned_or_holds_nothing_of_customers(passage: Passage, ann: Person) -> None:
    canaries = [form for needle in ann.needles() for form in needle.forms.values()]
    for setting, kind in {"store_url": Kind.STORE_KEY, "control_url": Kind.CONTROL_KEY}.items():
        with Redis.from_url(str(passage.made.settings[setting])) as redis:
            keys = [key.decode() for key in redis.scan_iter()]
            assert keys
            for key in unowned(kind, keys):
                contents = key.encode() + (redis.dump(key) or b"")
                assert [form for form in canaries if form in contents] == [], key


def test_every_file_is_owned_or_known(passage: Passage, traces: list[Trace]) -> None:
    made = passage.made
    found = {path for process in processes(passage) for path in open_for_writing(process)}
    others = {path for path in found if not path.startswith(f"{made.settings['stream_data_dir']}/")}
    assert others != found
    assert sum(path.endswith(".log") for path in others) >= 4
    assert [path for path in others if not any(re.fullmatch(one, path) for one in FILES)] == []
    left = [trace for trace in traces if trace.area.kind == OTHERS and "pg_wal" not in trace.found.path.parts]
    assert [str(trace) for trace in left] == []


def test_erased_customer_leaves_no_byte_and_the_other_stays(passage: Passage, ann: Person, bob: Person) -> None:
    passage.shorten(*STATING_TIMES)
    passage.erase(ann)
    passage.clean()
    left = passage.wait_until_gone(ann)
    assert not left, "\n".join(sorted({str(trace) for trace in left}))
    assert passage.rows_found(ann) <= {"request_events", "clock_pauses"}
    assert passage.served(bob)


def unowned(kind: Kind, names: list[str]) -> list[str]:
    """The names that no location owns, each of which holds no personal data for a stated reason."""
    registry = data_locations()
    without = [name for name in names if not registry.owners(kind, name)]
    assert [name for name in without if registry.reason_impersonal(kind, name) is None] == []
    return without


def processes(passage: Passage) -> list[psutil.Process]:
    """The processes of the installation, with their children."""
    own = [psutil.Process(process.pid) for process in passage.made.processes.values()]
    return [*own, *(child for process in own for child in process.children(recursive=True))]


def open_for_writing(process: psutil.Process) -> Iterator[str]:
    """The files that a process has open for writing, no pipes, sockets or devices."""
    folder = Path(f"/proc/{process.pid}")
    for descriptor in (folder / "fd").iterdir():
        try:
            path = os.readlink(descriptor)
            flags = re.search(r"^flags:\s*(\d+)$", (folder / "fdinfo" / descriptor.name).read_text(), re.M)
        except OSError:
            continue  # closed meanwhile
        if path.startswith("/") and not path.startswith("/dev/") and flags and int(flags[1], 8) & os.O_ACCMODE:
            yield path
