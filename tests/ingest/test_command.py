"""`manage.py deadletters`, as one types it."""

import pytest
from django.core.management import CommandError, call_command

from featurestore.ingest import services
from featurestore.ingest.models import DeadLetter
from tests.ingest.quarantine import SUBJECT, Quarantine, deadletters, order, states

State = DeadLetter.State


def test_a_list_counts_by_reason_and_names_each(post: Quarantine) -> None:
    places = post.put(b"1", b"2", detail="event is not UTF-8")
    (other,) = post.put(order(), reason="misplaced", detail="wrong partition")
    said = deadletters("list")
    assert said.splitlines()[0].startswith(f"     2 {post.topic} invalid, 20")
    assert "such as: event is not UTF-8" in said
    assert all(place in said for place in [*places, other])
    narrowed = deadletters("list", "--topic", "orders", "--reason", "misplaced")
    assert other in narrowed
    assert not any(place in narrowed for place in places)
    assert deadletters("list", "--topic", "chat") == "No letter waits.\n"


def test_a_long_list_has_pages(post: Quarantine) -> None:
    places = post.put(*[b"x"] * 60)
    first, second, third = (deadletters("list", "--page", page) for page in ("1", "2", "3"))
    assert sum(place + " " in first for place in places) == 50
    assert "1 to 50 of 60; the next: --page 2" in first
    assert sum(place + " " in second for place in places) == 10
    assert not any(place + " " in third for place in places)


def test_one_is_shown_and_its_personal_fields_are_masked(post: Quarantine) -> None:
    (place,) = post.put(order(7))
    deadletters("list")
    said = deadletters("show", place)
    assert f"key: {SUBJECT}" in said
    assert "data.amount: 49.90" in said
    assert "data.order_id: masked: personal" in said
    assert "O7" not in said
    assert "a replay: possible" in said


def test_what_was_decided_is_said(post: Quarantine) -> None:
    first, second, third = post.put(order(1), order(2), order(3))
    deadletters("list")
    assert deadletters("replay", first, "--by", "petra") == "1 replayed\n"
    assert deadletters("discard", second, "--by", "petra", "--because", "a test order") == "1 discarded\n"
    assert "replayed by petra on 20" in deadletters("show", first)
    assert f" as {post.topic}/{post.home}/0" in deadletters("show", first)
    assert "UTC: a test order" in deadletters("show", second)
    assert third in deadletters("list")
    assert first not in deadletters("list")
    assert first in deadletters("list", "--state", "replayed")
    with pytest.raises(CommandError, match="1 were left alone"):
        deadletters("replay", first)


def test_all_that_a_mended_definition_lets_pass_are_replayed_at_once(post: Quarantine) -> None:
    many = post.put(*[order(number) for number in range(300)])
    (other,) = post.put(order(), reason="misplaced")
    deadletters("list")
    assert deadletters("replay", "--all", "--reason", "invalid") == "300 replayed\n"
    assert [value for _, _, value in post.sent()] == [order(number) for number in range(300)]
    assert states() == dict.fromkeys(many, State.REPLAYED) | {other: State.OPEN}


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("show events.orders.g1/0/1", "No record at events.orders.g1/0/1 was put aside"),
        ("replay events.orders.g1/0/1", "deadletters list"),
        ("replay", "Name letters"),
        ("replay x --all", "Name letters"),
        ("discard x --because", "expected one argument"),
        ("discard events.orders.g1/0/1", "--because"),
        ("list --state lost", "invalid choice"),
        ("", "COMMAND"),
    ],
)
def test_what_is_typed_wrongly_is_said(db: None, typed: str, why: str) -> None:
    with pytest.raises(CommandError, match=why):
        call_command("deadletters", *typed.split())


@pytest.mark.parametrize("because", ["", "  "])
def test_a_discard_needs_a_reason(post: Quarantine, because: str) -> None:
    (place,) = post.put(order())
    services.import_dead_letters()
    with pytest.raises(CommandError, match="Say who discards the letters and why"):
        deadletters("discard", place, "--because", because)
    assert states() == {place: State.OPEN}


def test_kafka_away_is_said_after_what_is_known(no_kafka: None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match=r"Kafka at 127\.0\.0\.1:1 does not answer.*Newer letters may be missing"):
        call_command("deadletters", "list")
    assert "No letter waits." in capsys.readouterr().out
