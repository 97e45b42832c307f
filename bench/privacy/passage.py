"""Passage of customers through a running installation: into every data location, and out of it again.

1. ``bring_in``: a customer registers, consents, buys, is read, asks, and what faults leave is written.
2. ``found_before``: the search must find them wherever they are expected; else it would prove nothing.
3. ``shorten``: the stated times become seconds, by the product's own settings.
4. ``erase``: a request is answered and closed by the product's own Celery tasks, at these times.
5. ``clean``: what the operator does at the stated times (docs/data-locations.md).
6. ``left``: the search finds what is left.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import httpx
import psycopg
from confluent_kafka import Producer
from redis import Redis

from bench.privacy.canaries import CANARY, ENCRYPTED, EXPECTED, PROOF, ROW, SCOPED, Person, row_needles
from bench.privacy.disk import OTHERS, Area, Disk, Owners
from devservers.file_search.encodings import Needle
from devservers.file_search.search import Found, Search
from devservers.waiting import eventually
from featurestore import names
from featurestore.catalog.orders import OrderLine, orders
from featurestore.config import Settings
from featurestore.identity import partition_of, subject_of

DAY_S, HOUR_S = 86_400, 3_600
RETENTION_S, LAG_S = 20, 8
SHORT = {
    "event_retention_days": RETENTION_S / DAY_S,
    "journal_retention_days": RETENTION_S / DAY_S,
    "changelog_lag_hours": LAG_S / HOUR_S,
}
"""The stated times in the run: of events and the journal, and of changelogs. Compactions have theirs from the start."""
COMPACTION_S = 6
FACTS = """
import sys
import django
django.setup()
from bench.privacy.facts import run
run(*sys.argv[1:])
"""
"""Program that runs a command of ``facts`` in a process of the installation."""
READ_S, FOUND_S, CLOSE_S, GONE_S = 120, 120, 300, 120
ERASURES = "SELECT state FROM erasure_erasure"
STEPS = """
SELECT location, step.state, step.last_error FROM erasure_erasurestep step
WHERE step.state <> 'checked' ORDER BY position
"""


class Trace(NamedTuple):
    """Something found of a person, with what the file is a file of."""

    area: Area
    found: Found

    def __str__(self) -> str:
        found = self.found
        packed = f", packed as {found.packed}" if found.packed else ""
        return f"{self.area}: {found.needle} in {found.encoding}{packed}, {found.times} times, in {found.path}"


@dataclass
class Passage:
    """An installation that runs, and the files of its servers. ``say`` takes lines of progress."""

    disk: Disk
    api: httpx.Client
    say: Callable[[str], None] = lambda _: None
    rows: dict[str, dict[str, list[Needle]]] = field(default_factory=dict)
    bytes_searched: int = 0

    def __post_init__(self) -> None:
        self.made = self.disk.made
        self.owners = Owners(self.made.manage("locations", "list").stdout)
        self.producer = Producer({**self.made.kafka_options(), "log_level": 0})
        self.database_url = str(self.made.settings["database_url"])

    def person(self, identifier: str, canary: str) -> Person:
        return Person(identifier, subject_of(identifier, str(self.made.settings["subject_secret"]).encode()), canary)

    def bring_in(self, person: Person) -> None:
        """As described. It returns when the person is served, and every row is written."""
        self.send("chat", person, b'{"subject": "%s", "no": "event"}' % person.subject.encode())  # passed by, too
        self.buy(person)
        eventually(lambda: self.is_passed_by(person), "a stream worker has passed by the person", READ_S, every_s=0.2)
        self.register(person)
        self.buy(person)
        self.send("orders", person, f'no event of {person.subject}: "{person.canary}"'.encode())
        eventually(lambda: self.served(person), "the person is served", READ_S, every_s=0.2)
        self.made.run("-c", FACTS, "write", person.identifier, person.canary)

    def register(self, person: Person) -> None:
        """Register a customer with a consent; return when it is in effect."""
        body = {"customer_id": person.identifier}
        self.api.post("/v1/customers", json=body | {"region": "EU", "brand": "lamp"}).raise_for_status()
        decision = {"purpose": "service", "decision": "given", "notice": "privacy/1/en", "method": "chat"}
        answer = self.api.post("/v1/consents", json=body | decision)
        assert answer.status_code == 201, answer.text
        since_s = datetime.fromisoformat(answer.json()["since"]).timestamp()
        eventually(lambda: time.time() > since_s, "the consent is in effect")

    def buy(self, person: Person) -> None:
        line = OrderLine(kind="completed", order_id=person.canary, sku="LAMP", quantity=1, amount=Decimal("10.00"))
        facts = {"id": f"order-{time.time_ns()}", "source": "shop", "time": datetime.now(UTC)}
        self.send("orders", person, orders.encode(subject=person.subject, data=line, **facts))

    def send(self, source: str, person: Person, raw: bytes) -> None:
        topic = names.events(source, int(str(self.made.settings["generation"])))
        partition = partition_of(person.subject, int(str(self.made.settings["partitions"])))
        self.producer.produce(topic, raw, person.subject.encode(), partition)
        assert self.producer.flush(30) == 0

    def served(self, person: Person) -> bool:
        question = {"service": "support_chat", "purpose": "service", "customer_id": person.identifier}
        answer = self.api.post("/v1/features", json=question)
        return answer.status_code == 200 and answer.json()["features"]["spend_amount_sum_1h"] == 10.0

    def is_passed_by(self, person: Person) -> bool:
        topic = self.disk.kafka_logs / f"{self.made.settings['passed_by_topic']}-0"
        return any(person.subject.encode() in path.read_bytes() for path in topic.glob("*.log"))

    def settle(self) -> None:
        """Have servers write to their files what they have in memory; and statistics, as PostgreSQL does by itself."""
        self.statements("ANALYZE", "CHECKPOINT")
        for server in (self.disk.store, self.disk.control):
            with Redis.from_url(server.url) as redis:
                redis.save()

    def statements(self, *statements: str) -> None:
        with psycopg.connect(self.database_url, autocommit=True) as database:
            for statement in statements:
                database.execute(statement)  # type: ignore[call-overload]

    def search(self, person: Person, *more: Needle) -> list[Trace]:
        """Everything that is found of a person, in every file."""
        search, traces, began_s = Search([*person.needles(), *more]), list[Trace](), time.monotonic()
        for path, area in self.disk.files():
            try:
                traces += (Trace(area, found) for found in search.file(path))
            except FileNotFoundError:
                continue  # deleted since it was listed
        self.bytes_searched += search.bytes_searched
        took_s = time.monotonic() - began_s
        self.say(f"{search.files:,} files, {search.bytes_searched:,} bytes searched in {took_s:.1f} s")
        return traces

    def rows_found(self, person: Person) -> set[str]:
        """The data locations in whose files a row is found that names the person by no text."""
        found = set[str]()
        for path, area in self.disk.files():
            for location in self.owners.of(area):
                if needles := self.rows[person.subject].get(location):
                    found.update(location for _ in Search(needles).file(path))
        return found

    def found_before(self, person: Person, within_s: float = FOUND_S) -> tuple[set[tuple[str, str]], list[Trace]]:
        """What the search finds of what is expected, as data location and needle; and everything that it finds.

        Fails if anything is missing, since what is written behind an answer should be there by then; or if something
        stands as it is that must be encrypted or hold nothing.
        """
        assert set(self.owners.patterns) == set(EXPECTED), set(self.owners.patterns) ^ set(EXPECTED)
        expected = {(location, needle) for location, needles in EXPECTED.items() for needle in needles}
        deadline = time.monotonic() + within_s
        while True:
            self.settle()
            traces = self.search(person)
            found = {(location, trace.found.needle) for trace in traces for location in self.owners.of(trace.area)}
            self.rows[person.subject] = dict(row_needles(self.database_url, person))
            found |= {(location, ROW) for location in self.rows_found(person)}
            if expected <= found:
                break
            assert time.monotonic() < deadline, f"not found before the erasure: {sorted(expected - found)}"
            time.sleep(1)
        plain = [location for location, needle in found if needle == CANARY and location in ENCRYPTED]
        assert not plain, f"stored without encryption: {plain}"
        logged = [str(trace) for trace in traces if trace.area.kind == OTHERS and trace.area.name.endswith(".log")]
        assert not logged, "\n".join(["logged:", *logged])
        return expected, traces

    def shorten(self, *processes: str) -> None:
        """Make the stated times seconds, and start these processes again with them."""
        self._state_times(SHORT, processes)

    def lengthen(self, *processes: str) -> None:
        """Make the stated times the product's defaults again, and start these processes again with them."""
        self._state_times({name: Settings.model_fields[name].default for name in SHORT}, processes)

    def _state_times(self, settings: Mapping[str, object], processes: Iterable[str]) -> None:
        self.made.change_settings(**settings)
        self.made.run("-m", "streams", "topics", "apply")
        for name in processes:
            self.made.restart(name)

    def erase(self, person: Person, within_s: float = CLOSE_S) -> None:
        """As described; return when the erasure is closed."""
        self.made.run("-c", FACTS, "erase", person.identifier)
        try:
            eventually(self.answered, "the erasure is answered", within_s, every_s=1)
            self.made.run("-c", FACTS, "hand_over")
            eventually(self.closed, "the erasure is closed", within_s, every_s=1)
        except AssertionError as error:
            raise AssertionError(f"{error}; steps: {self.open_steps()}") from None

    def answered(self) -> bool:
        return self.states() <= {"answered", "closed"}

    def closed(self) -> bool:
        return self.states() == {"closed"}

    def states(self) -> set[str]:
        with psycopg.connect(self.database_url) as database:
            return {state for (state,) in database.execute(ERASURES)}

    def open_steps(self) -> list[tuple[str, ...]]:
        with psycopg.connect(self.database_url) as database:
            return database.execute(STEPS).fetchall()

    def clean(self) -> None:
        """What docs/data-locations.md has the operator do at the stated times."""
        self.made.manage("locations", "rewrite")
        self.statements("CHECKPOINT", "SELECT pg_switch_wal()", "CHECKPOINT")
        with Redis.from_url(self.disk.store.url) as redis:
            redis.save()
        with Redis.from_url(self.disk.control.url) as redis:
            redis.bgrewriteaof()
            eventually(lambda: not redis.info("persistence")["aof_rewrite_in_progress"], "the AOF is rewritten")
            redis.save()

    def left(self, person: Person) -> list[Trace]:
        """What is found of a person, with the bytes of rows that an erasure deletes."""
        rows = self.rows[person.subject]
        deleted = [needle for name in rows.keys() - {*PROOF, *SCOPED} for needle in rows[name]]
        traces = self.search(person, *deleted)
        return traces + [
            Trace(area, found)
            for path, area in self.disk.files()
            for location in self.owners.of(area)
            if location in SCOPED
            for found in Search(rows[location]).file(path)
        ]

    def wait_until_gone(self, person: Person, within_s: float = GONE_S) -> list[Trace]:
        """What is left at the deadline: an empty list as soon as nothing is."""
        traces, deadline = self.left(person), time.monotonic() + within_s
        while traces and time.monotonic() < deadline:
            time.sleep(2)
            traces = self.left(person)
            self.say("; ".join([f"{len(traces)} traces left", *map(str, traces[:3])]))
        return traces
