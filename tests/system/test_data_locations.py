"""A customer with canaries passes through a running installation: everything that holds a trace is a data location.

The tables, topics, keys and open files of the installation are listed, and each is owned by a location or on the list
of what holds no personal data; what is on that list is searched for the canaries. Then the customer is erased.
"""

import os
import re
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from redis import Redis

from devservers.installation import Installation, installation
from devservers.redis_server import RedisServer
from devservers.waiting import eventually
from featurestore.identity import partition_of, subject_of
from featurestore.locations import Kind
from featurestore.row_locations import data_locations

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(600)]

ANN, BOB = "canary-of-ann", "canary-of-bob"
EMPTY = {
    "kept_denials": "no database has lost a commit",
    "audit_findings": "the store does not differ from the database",
    "exports": "nobody asks for one",
    "access_stream": "the consumer has written what was in it",
    "legal_holds": "no hold was placed",
    "emergency_accesses": "no staff member looks in an emergency",
    "passed_by": "the store had their permissions before their events came",
    "purges": "nothing was withdrawn",
}
"""Locations through which no customer passes here, and why."""
DATABASE = r".*/rapport\.sqlite3(-wal|-shm)?"  # its tables are compared one by one
FILES = {
    r".*\.log": "logs: none of customers",
    r".*/beat(\.\w+)?": "beat's schedule: names of tasks",
    r"/tmp/pymp-.*": "memory that the processes of one server share: counts",
}
"""Files besides database and stream tables that processes of the project have open for writing, and what they hold."""
PROOF = """
import django, sys
django.setup()
from devservers.waiting import eventually
from featurestore.customers.selectors import person_of
from featurestore.ingest import tasks
from featurestore.locations import erase_all, prove_all
from featurestore.row_locations import data_locations
person, wait_s, ignored = person_of(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
locations = [location for location in data_locations().in_order() if location.name not in ignored]

def traces(of):
    return [location.name for location in of if prove_all(location, person).traces]
"""
PASS_EVERYWHERE = (
    PROOF
    + """
def is_everywhere():
    tasks.import_dead_letters()
    return len(traces(locations)) == len(locations)

try:
    eventually(is_everywhere, "a trace in every location", wait_s, every_s=1)
except AssertionError:
    print(*({location.name for location in locations} - set(traces(locations))))
"""
)
ERASE = (
    PROOF
    + """
at_once = [location for location in locations if not location.gone_within()]

def is_erased():
    for location in locations:
        erase_all(location, person)
    return not traces(at_once)

try:
    eventually(is_erased, "no trace of what is erased at once", wait_s, every_s=1)
except AssertionError:
    print(*traces(at_once))
"""
)
ASK = """
import django, sys
django.setup()
from featurestore.requests import services
from featurestore.requests.actors import client, staff
from featurestore.requests.services import codes
for customer in sys.argv[1:]:
    contact = services.record_contact(customer, "webhook", f"messenger/{customer}", client("tests"))
    intake = services.Intake("access", "gdpr", "api", customer, details=f"the words of {customer}")
    reference = services.receive(intake, client("tests")).request.reference
    services.confirm_code(reference, codes.issue(reference, contact)[1])
    services.wait_for_customer(reference, staff("sam"), "Which account?")
    services.continue_work(reference, staff("sam"))
    services.withdraw(reference, staff("sam"), "By telephone.")
"""


class Passage:
    """An installation through which two customers pass."""

    def __init__(self, made: Installation, api: httpx.Client) -> None:
        self.made, self.api = made, api

    def subject(self, customer: str) -> str:
        return subject_of(customer, str(self.made.settings["subject_secret"]).encode())

    def pass_through(self, customer: str) -> None:
        """Register, consent, buy, be read, and send what can't be folded."""
        self.api.post("/v1/customers", json={"customer_id": customer, "region": "EU", "brand": "lamp"})
        decision = {"purpose": "service", "decision": "given", "notice": "privacy/1/en", "method": "chat"}
        answer = self.api.post("/v1/consents", json={"customer_id": customer, **decision})
        assert answer.status_code == 201, answer.text
        since_s = datetime.fromisoformat(answer.json()["since"]).timestamp()
        eventually(lambda: time.time() > since_s, "the consent is in effect")
        time_ = datetime.now(UTC).isoformat()
        data = {"author": "customer", "conversation_id": f"talk-{customer}"}
        message = {"source": "chat", "customer_id": customer, "id": f"message-{customer}", "time": time_, "data": data}
        assert self.api.post("/v1/events", json={"events": [message]}).status_code == 202

    def messages(self, customer: str) -> int | None:
        question = {"service": "support_chat", "purpose": "service", "customer_id": customer}
        answer = self.api.post("/v1/features", json=question | {"features": ["customer_messages_1d"]})
        return answer.json()["features"]["customer_messages_1d"] if answer.status_code == 200 else None

    def traces(self, customer: str) -> dict[str, int]:
        """The traces of a customer by location, as the command counts them."""
        lines = self.made.manage("locations", "prove", customer).stdout.splitlines()
        return {line.split()[0]: int(line.split()[1].replace(",", "")) for line in lines[1:]}

    def canaries(self) -> list[bytes]:
        return [text.encode() for customer in (ANN, BOB) for text in (customer, self.subject(customer))]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of this module's own: every key is its installation's."""
    server = RedisServer(tmp_path_factory.mktemp("locations-redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def passage(kafka: str, store: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Passage]:
    folder = tmp_path_factory.mktemp("locations")
    with installation(folder, kafka=kafka, store=store.url, stream_tables="rocksdb") as made:
        made.prepare()
        made.start_store_verifier()
        made.start_worker()
        api = made.start_api()
        beat = ("--beat", "--schedule", str(folder / "beat"))
        made.start("celery", "-m", "celery", "--app", "adminsite", "worker", "--concurrency", "1", *beat)
        eventually(lambda: api.get("/readyz").status_code == 200, "the API is ready")
        passage = Passage(made, api)
        for customer in (ANN, BOB):
            passage.pass_through(customer)
        eventually(lambda: passage.messages(ANN) == passage.messages(BOB) == 1, "both are served")
        send_unfoldable(passage)
        made.run("-c", ASK, ANN, BOB)
        assert made.run("-c", PASS_EVERYWHERE, ANN, "120", *EMPTY).stdout.split() == [], "locations without a trace"
        yield passage


def send_unfoldable(passage: Passage) -> None:
    """An event that no worker can fold, by a program that is not ours."""

    producer = Producer({**passage.made.kafka_options(), "log_level": 0})
    generation = passage.made.settings["generation"]
    for customer in (ANN, BOB):
        subject = passage.subject(customer)
        raw = f'{{"subject": "{subject}", "no": "event"}}'.encode()
        producer.produce(f"events.chat.g{generation}", raw, subject.encode(), partition_of(subject, 4))
    assert producer.flush(30) == 0


def test_every_table_is_owned_or_holds_no_canary(passage: Passage) -> None:
    with sqlite3.connect(passage.made.database) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert len(tables) > 30
        impersonal = unowned(Kind.TABLE, tables)
        for table in impersonal:
            rows = repr(database.execute(f"SELECT * FROM {table}").fetchall()).encode()
            assert not canaries_in(passage, rows), table


def test_every_topic_is_owned_or_holds_no_canary(passage: Passage) -> None:
    options = {**passage.made.kafka_options(), "group.id": "watch", "auto.offset.reset": "earliest", "log_level": 0}
    consumer = Consumer(options)
    try:
        generation = passage.made.settings["generation"]
        ours = re.compile(rf".*\.g{generation}(-.*)?|{passage.made.settings['journal_topic']}|__.*")
        topics = [topic for topic in consumer.list_topics(timeout=30).topics if ours.fullmatch(topic)]
        assert len(topics) > 10
        for topic in unowned(Kind.TOPIC, topics):
            if topic.startswith("__"):
                continue  # of all tests: offsets of groups, by the names of topics
            for partition in consumer.list_topics(topic, timeout=30).topics[topic].partitions:
                first, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
                consumer.assign([TopicPartition(topic, partition, first)])
                for message in consumer.consume(end - first, timeout=5) if end > first else ():
                    assert not canaries_in(passage, (message.key() or b"") + (message.value() or b"")), topic
    finally:
        consumer.close()


def test_every_key_of_redis_is_owned_or_holds_no_canary(passage: Passage) -> None:
    for setting, kind in {"store_url": Kind.STORE_KEY, "control_url": Kind.CONTROL_KEY}.items():
        with Redis.from_url(str(passage.made.settings[setting])) as redis:
            keys = [key.decode() for key in redis.scan_iter()]
            assert keys
            for key in unowned(kind, keys):
                assert not canaries_in(passage, key.encode() + (redis.dump(key) or b"")), key


def test_every_file_open_for_writing_is_owned_or_known(passage: Passage) -> None:
    found = {path: at for process in processes(passage) for path, at in open_for_writing(process)}
    tables = f"{passage.made.settings['stream_data_dir']}/"
    assert any(path.startswith(tables) for path in found)
    assert any(storage.kind is Kind.FILE for storage in data_locations()["state_tables"].stored_in)
    others = {path: at for path, at in found.items() if not (path.startswith(tables) or re.fullmatch(DATABASE, path))}
    assert sum(path.endswith(".log") for path in others) >= 4
    assert [path for path in others if not any(re.fullmatch(one, path) for one in FILES)] == []
    assert [path for path, at in others.items() if canaries_in(passage, at.read_bytes())] == []


def test_erased_customer_leaves_what_goes_by_a_stated_time_and_others_stay(passage: Passage) -> None:
    others = passage.traces(BOB)
    assert passage.made.run("-c", ERASE, ANN, "240").stdout.split() == [], "locations with a trace"
    left = {name for name, traces in passage.traces(ANN).items() if traces}
    assert left <= {
        *("events", "dead_letter_topic", "purges", "consent_journal", "changelogs", "versioned_denials"),
        *("access_stream",),
    }
    assert passage.messages(BOB) == 1
    after = passage.traces(BOB)
    assert after | {"access_records": 0, "access_stream": 0} == others | {"access_records": 0, "access_stream": 0}


def unowned(kind: Kind, names: list[str]) -> list[str]:
    """The names that no location owns, each of which holds no personal data for a stated reason."""
    registry = data_locations()
    without = [name for name in names if not registry.owners(kind, name)]
    assert [name for name in without if registry.reason_impersonal(kind, name) is None] == []
    return without


def canaries_in(passage: Passage, contents: bytes) -> list[bytes]:
    return [canary for canary in passage.canaries() if canary in contents]


def processes(passage: Passage) -> list[psutil.Process]:
    """The processes of the installation, with their children."""
    own = [psutil.Process(process.pid) for process in passage.made.processes.values()]
    return [*own, *(child for process in own for child in process.children(recursive=True))]


def open_for_writing(process: psutil.Process) -> Iterator[tuple[str, Path]]:
    """The files that a process has open for writing, no pipes, sockets or devices; and where each can be read."""
    folder = Path(f"/proc/{process.pid}")
    for descriptor in (folder / "fd").iterdir():
        try:
            path = os.readlink(descriptor)
            flags = re.search(r"^flags:\s*(\d+)$", (folder / "fdinfo" / descriptor.name).read_text(), re.M)
        except OSError:
            continue  # closed meanwhile
        if path.startswith("/") and not path.startswith("/dev/") and flags and int(flags[1], 8) & os.O_ACCMODE:
            yield path, descriptor
