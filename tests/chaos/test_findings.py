"""What a chaos run would find: each of its judges, given something wrong."""

import asyncio
import random
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from featurestore import names
from tests.chaos import poison
from tests.chaos.comparison import counted_more, settled
from tests.chaos.customers import NEVER, Customer, Promise
from tests.chaos.dead_letters import Letter, judge
from tests.chaos.faults import FAULTS
from tests.chaos.poison import Poison
from tests.chaos.proxy import Proxy
from tests.chaos.schedule import schedule
from tests.chaos.truth import Truth, counting
from tests.chaos.watch import is_denied, shown
from tests.kit.oracle import Mismatch

DENIED, ALLOWED = Promise(None, 10.0), Promise(1_000, NEVER)
PLACE = ("events.support.g1", 3, 17)
POISON = Poison("events.support.g1", 3, b"key", None, "invalid")
LETTER = Letter(PLACE, "invalid", b"key", b"")


def test_a_read_is_denied_from_the_promise_until_the_next_grant_is_asked_for() -> None:
    assert is_denied(DENIED, DENIED, asked_at=10.0)
    assert not is_denied(DENIED, DENIED, asked_at=9.9)
    assert not is_denied(DENIED, Promise(None, 10.0), asked_at=11.0), (
        "a grant was asked for while the read was answered"
    )
    assert not is_denied(ALLOWED, ALLOWED, asked_at=11.0)


@pytest.mark.parametrize(("status", "leaks"), [("withheld", 0), ("present", 1), ("missing", 1), ("stale", 1)])
def test_whatever_is_not_withheld_is_a_leak(status: str, leaks: int) -> None:
    assert len(shown({"views": {"spend": {"status": status}, "mood": {"status": "withheld"}}})) == leaks


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
def test_too_large_a_count_or_sum_is_doubled_and_all_else_lost(
    aggregation: str, expected: Any, served: Any, more: bool
) -> None:
    wrong = Mismatch("c1", "feature", served, expected)
    assert counted_more({"aggregation": aggregation}, wrong) is more


def answer(status: str, age_s: float | None) -> dict[str, Any]:
    return {"at": "1970-01-01T00:00:10.000Z", "views": {"spend": {"status": status, "age_s": age_s}}}


def test_it_is_quiet_when_all_is_folded_and_what_was_withdrawn_withheld() -> None:
    assert settled(answer("present", 1.0), allowed=True, now_ms=9_000)
    assert not settled(answer("present", 2.0), allowed=True, now_ms=9_000)
    assert not settled(answer("stale", None), allowed=True, now_ms=9_000)
    assert settled(answer("withheld", None), allowed=False, now_ms=9_000)
    assert not settled(answer("present", 1.0), allowed=False, now_ms=9_000)


def test_each_piece_of_poison_needs_its_letter_and_no_other_is_asked_for() -> None:
    assert judge([LETTER, LETTER], {PLACE: POISON}) == ([], [])
    assert len(judge([], {PLACE: POISON}).missing) == 1
    assert len(judge([LETTER._replace(reason="future")], {PLACE: POISON}).missing) == 1
    assert len(judge([LETTER, LETTER._replace(value=b"sound")], {PLACE: POISON}).unasked) == 1


@pytest.mark.parametrize("kind", poison.KINDS)
def test_poison_is_what_its_source_refuses(kind: str) -> None:
    """Or what only its place and time tell."""
    customer = Customer("c1", "00000001" + "ab" * 12, changes_mind=True)
    made = poison.KINDS[kind](customer, "p1", 1)
    refused = poison.refusal(made)
    assert refused == made.reason or (refused is None and made.reason in ("misplaced", "future"))
    assert made.topic.startswith("events.") or made.topic == names.purge(1)


def test_an_event_counts_from_its_grant_on_by_both_clocks(tmp_path: Path) -> None:
    truth = Truth(tmp_path / "truth")
    customer = Customer("c1", "ab" * 16, changes_mind=True, promises={"service": Promise(1_000, NEVER)})
    for number, (time_ms, kafka_ms) in enumerate([(999, 1_001), (1_001, 999), (1_000, 1_000), (2_000, 2_001)]):
        truth.add("behavior", "c1", f"e{number}", time_ms, kafka_ms, {"kind": "checkout"})
    db = truth.database([customer])
    counting(db, "behavior", "service")
    assert db.execute("SELECT count(*) FROM events").fetchone() == (2,)
    counting(db, "behavior", "personalisation")
    assert db.execute("SELECT count(*) FROM events").fetchone() == (0,)
    counting(db, "orders", "service")
    assert db.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_a_round_has_every_fault_once_and_a_seed_tells_the_same_rounds() -> None:
    rounds = [list(islice(schedule(random.Random(seed)), 3 * len(FAULTS))) for seed in (1, 1, 2)]
    assert rounds[0] == rounds[1] != rounds[2]
    for start in range(0, len(rounds[0]), len(FAULTS)):
        one = rounds[0][start : start + len(FAULTS)]
        assert set(one) == set(FAULTS)
        assert one.index("worker added") < one.index("worker removed")


def test_a_proxy_that_is_cut_holds_back_what_it_passes_on_when_mended() -> None:
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
        proxy.mend()
        assert await asyncio.wait_for(reader.read(100), 10) == b"late"
        writer.close()
        server.close()
        proxy.stop()

    asyncio.run(talk())
