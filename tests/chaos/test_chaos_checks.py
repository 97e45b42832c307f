"""Checks of a chaos run, each given an error to detect."""

import asyncio
import random
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from featurestore import names
from tests.chaos import poison_records
from tests.chaos.comparison import adopt_starts, counted_more, counts_unclear_events, is_up_to_date
from tests.chaos.customers import NEVER, SERVICES, Customer, ExpectedPermission
from tests.chaos.dead_letters import DeadLetter, check
from tests.chaos.faults import FAULTS
from tests.chaos.leak_monitor import disclosures, is_denied
from tests.chaos.poison_records import PoisonRecord
from tests.chaos.proxy import Proxy
from tests.chaos.schedule import schedule
from tests.chaos.written_events import WrittenEvents, create_counted_events
from tests.kit.oracle import Mismatch

DENIED, ALLOWED = ExpectedPermission(None, 10.0), ExpectedPermission(1_000, NEVER)
RECORD_ID = ("events.support.g1", 3, 17)
POISON = PoisonRecord("events.support.g1", 3, b"key", None, "invalid")
DEAD_LETTER = DeadLetter(RECORD_ID, "invalid", b"key", b"")


def test_read_must_be_denied_until_the_next_grant_is_requested() -> None:
    assert is_denied(DENIED, DENIED, read_at=10.0)
    assert not is_denied(DENIED, DENIED, read_at=9.9)
    assert not is_denied(DENIED, ExpectedPermission(None, 10.0), read_at=11.0), (
        "a grant was requested while the read was answered"
    )
    assert not is_denied(ALLOWED, ALLOWED, read_at=11.0)


@pytest.mark.parametrize(("status", "leaks"), [("withheld", 0), ("present", 1), ("missing", 1), ("stale", 1)])
def test_every_view_not_withheld_is_a_leak(status: str, leaks: int) -> None:
    views = {"spend": {"status": status}, "mood": {"status": "withheld"}}
    assert len(disclosures({"features": {"spent": None}, "views": views})) == leaks


@pytest.mark.parametrize("value", [0, "", [], False])
def test_every_value_of_a_withheld_view_is_a_leak(value: Any) -> None:
    withheld = {"features": {"spent": value, "mood": None}, "views": {"spend": {"status": "withheld"}}}
    assert disclosures(withheld) == {"spent": value}


@pytest.mark.parametrize(
    ("aggregation", "expected", "served", "more"),
    [
        ("Count", 3, 4, True),
        ("Count", 3, 2, False),
        ("Count", None, 1, True),
        ("Sum", Decimal("-3"), -4.5, True),
        ("Sum", Decimal("-3"), -1.5, False),
        ("Last", "a", "b", False),
        ("Mean", 3.0, 4.0, False),
        ("Sum", Decimal(3), None, False),
    ],
)
def test_larger_count_or_sum_is_doubled_and_others_lost(
    aggregation: str, expected: Any, served: Any, more: bool
) -> None:
    wrong = Mismatch("c1", "feature", served, expected)
    assert counted_more({"aggregation": aggregation}, wrong) is more


def answer(status: str, age_s: float | None) -> dict[str, Any]:
    return {"at": "1970-01-01T00:00:10.000Z", "views": {"spend": {"status": status, "age_s": age_s}}}


def test_answer_is_up_to_date_when_fresh_or_withheld() -> None:
    assert is_up_to_date(answer("present", 1.0), allowed=True, now_ms=9_000)
    assert not is_up_to_date(answer("present", 2.0), allowed=True, now_ms=9_000)
    assert not is_up_to_date(answer("stale", None), allowed=True, now_ms=9_000)
    assert is_up_to_date(answer("withheld", None), allowed=False, now_ms=9_000)
    assert not is_up_to_date(answer("present", 1.0), allowed=False, now_ms=9_000)


def test_each_poison_record_needs_its_dead_letter_and_no_other() -> None:
    assert check([DEAD_LETTER, DEAD_LETTER], {RECORD_ID: POISON}) == ([], [])
    assert len(check([], {RECORD_ID: POISON}).missing) == 1
    assert len(check([DEAD_LETTER._replace(reason="future")], {RECORD_ID: POISON}).missing) == 1
    assert len(check([DEAD_LETTER, DEAD_LETTER._replace(value=b"valid")], {RECORD_ID: POISON}).unexpected) == 1


@pytest.mark.parametrize("kind", poison_records.KINDS)
def test_poison_record_is_rejected_by_its_source(kind: str) -> None:
    """Unless only its partition, key or time are wrong."""
    customer = Customer("c1", "00000001" + "ab" * 12, changes_consent=True)
    record = poison_records.KINDS[kind](customer, "p1", 1)
    refused = poison_records.rejection_reason(record)
    assert refused == record.reason or (refused is None and record.reason in ("misplaced", "future"))
    assert record.topic.startswith("events.") or record.topic == names.purge(1)


def test_event_counts_from_its_grant_on_by_both_timestamps(tmp_path: Path) -> None:
    written = WrittenEvents(tmp_path / "written")
    customer = Customer("c1", "ab" * 16, changes_consent=True, expected={"service": ExpectedPermission(1_000, NEVER)})
    for number, (time_ms, kafka_ms) in enumerate([(999, 1_001), (1_001, 999), (1_000, 1_000), (2_000, 2_001)]):
        written.add("behavior", "c1", f"e{number}", time_ms, kafka_ms, {"kind": "checkout"})
    db = written.database([customer])
    create_counted_events(db, "behavior", "service")
    assert db.execute("SELECT count(*) FROM events").fetchone() == (2,)
    create_counted_events(db, "behavior", "personalisation")
    assert db.execute("SELECT count(*) FROM events").fetchone() == (0,)
    create_counted_events(db, "orders", "service")
    assert db.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_events_passed_by_between_two_starts_of_a_grant_do_not_count(tmp_path: Path) -> None:
    written = WrittenEvents(tmp_path / "written")
    customer = Customer("c1", "ab" * 16, changes_consent=True, expected={"service": ExpectedPermission(1_000, NEVER)})
    customer.start_later("service", passed_by_from_ms=2_000, start_ms=3_000)
    assert customer.expected["service"].late, "an entry that is left may move the start once more"
    times = [(1_999, 1_999), (2_000, 2_000), (999, 3_001), (1_000, 3_001), (3_000, 3_000)]
    for number, (time_ms, kafka_ms) in enumerate(times):
        written.add("behavior", "c1", f"e{number}", time_ms, kafka_ms, {"kind": "checkout"})
    create_counted_events(db := written.database([customer]), "behavior", "service")
    counted = db.execute("SELECT t_ms FROM events ORDER BY t_ms").fetchall()
    assert counted == [(1_000,), (1_999,), (3_000,)], "one that came late, after the new start, counts"


@pytest.mark.parametrize(
    ("served", "right"),
    [("543", True), ("5432", True), ("54321", True), ("5421", True), ("5431", False), ("53", False), ("5321", False)],
)
def test_events_before_a_later_start_may_have_been_counted_in_one_stretch(
    tmp_path: Path, served: str, right: bool
) -> None:
    written = WrittenEvents(tmp_path / "written")
    late = ExpectedPermission(4_000, NEVER, unclear=(1_000, 4_000))
    customer = Customer("c1", "ab" * 16, changes_consent=True, expected={"service": late})
    for second in range(1, 6):
        data = {"kind": "solved", "topic": f"{second}"}
        written.add("support", "c1", f"e{second}", second * 1_000, second * 1_000, data)
    spec = {"name": "topics", "source": "support", "aggregation": "LastN", "field": "topic", "filter": {},
            "parameters": {"n": 9}, "window_s": None, "default": []}  # fmt: skip
    db, wrong = written.database([customer]), Mismatch("c1", "topics", list(served), None)
    assert counts_unclear_events(db, customer, "service", spec, wrong, now_ms=9_000) is right


def test_start_that_claims_events_that_were_passed_by_is_refused() -> None:
    customer = Customer("c1", "ab" * 16, changes_consent=True, expected={"service": ExpectedPermission(1_000, NEVER)})
    with pytest.raises(AssertionError, match="were passed by"):
        customer.start_later("service", passed_by_from_ms=2_000, start_ms=1_000)


def test_grant_that_the_database_lost_is_refused_or_starts_later() -> None:
    customer = Customer("c1", "ab" * 16, changes_consent=True, expected={"service": ExpectedPermission(1_000, NEVER)})
    customer.adopt_taken_over("service", {"views": {"spend": {"status": "stale"}}})
    assert customer.expected["service"] == ExpectedPermission(1_000, NEVER, late=True)
    customer.adopt_taken_over("service", {"views": {"spend": {"status": "withheld"}}})
    assert not customer.may_be_read("service")


@pytest.mark.parametrize(("late", "start_ms", "wrong", "adopted_ms"), [
    (False, 1_000, 0, 1_000), (False, 2_000, 1, 1_000), (True, 2_000, 0, 2_000), (True, 500, 1, 1_000),
])  # fmt: skip
def test_only_a_grant_that_may_be_late_starts_later_than_expected(
    late: bool, start_ms: int, wrong: int, adopted_ms: int
) -> None:
    expected = {"fraud": ExpectedPermission(1_000, NEVER, late=late)}
    refused = dict.fromkeys(SERVICES.keys() - expected.keys(), DENIED)
    customer = Customer("c1", "ab" * 16, changes_consent=True, expected=expected | refused)
    view = {"status": "present", "start": f"1970-01-01T00:00:0{start_ms / 1000}Z"}
    answers = httpx.Response(200, json={"results": [{"views": {"spend": view}}]})
    with httpx.Client(base_url="http://api", transport=httpx.MockTransport(lambda _: answers)) as client:
        assert len(adopt_starts(client, [customer])) == wrong
    assert customer.expected["fraud"].since_ms == adopted_ms


def test_round_has_every_fault_once_and_depends_on_the_seed() -> None:
    rounds = [list(islice(schedule(random.Random(seed), FAULTS), 3 * len(FAULTS))) for seed in (1, 1, 2)]
    assert rounds[0] == rounds[1] != rounds[2]
    for start in range(0, len(rounds[0]), len(FAULTS)):
        one = rounds[0][start : start + len(FAULTS)]
        assert set(one) == set(FAULTS)
        assert one.index("worker added") < one.index("worker removed")


def test_proxy_acts_between_two_requests_of_a_client() -> None:
    async def talk() -> None:
        seen: list[bytes] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(100):
                seen.append(data)
                writer.write(data)

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        proxy = Proxy(server.sockets[0].getsockname()[1])
        proxy.start()
        for number in range(2):
            proxy.interrupt(lambda number=number: seen.append(f"act {number}".encode()), after=1)
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        for number in range(5):
            writer.write(f"request {number}".encode())
            await asyncio.wait_for(reader.read(100), 10)
        assert seen == [b"request 0", b"act 0", b"request 1", b"request 2", b"act 1", b"request 3", b"request 4"]
        assert not proxy.interruptions
        writer.close()
        server.close()
        proxy.stop()

    asyncio.run(talk())


def test_cut_proxy_forwards_after_it_is_restored() -> None:
    async def talk() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read(100))

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        proxy = Proxy(server.sockets[0].getsockname()[1])
        proxy.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        proxy.cut()
        writer.write(b"late")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(100), 0.2)
        proxy.restore()
        assert await asyncio.wait_for(reader.read(100), 10) == b"late"
        writer.close()
        server.close()
        proxy.stop()

    asyncio.run(talk())
