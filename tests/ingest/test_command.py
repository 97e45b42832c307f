"""`manage.py deadletters`: its arguments, output and errors."""

import pytest
from django.core.management import CommandError, call_command

from featurestore.ingest import services
from featurestore.ingest.models import DeadLetter
from tests.ingest.quarantine import Quarantine, deadletters, states
from tests.kit.orders import SUBJECT, order

State = DeadLetter.State


def test_list_counts_by_reason_and_names_each_record(quarantine: Quarantine) -> None:
    records = quarantine.add(b"1", b"2", detail="event is not UTF-8")
    (other,) = quarantine.add(order(), reason="misplaced", detail="wrong partition")
    output = deadletters("list")
    assert output.splitlines()[0].startswith(f"     2 {quarantine.topic} invalid, 20")
    assert "example: event is not UTF-8" in output
    assert all(record in output for record in [*records, other])
    narrowed = deadletters("list", "--topic", "orders", "--reason", "misplaced")
    assert other in narrowed
    assert not any(record in narrowed for record in records)
    assert deadletters("list", "--topic", "chat") == "No dead letter waits for a decision.\n"


def test_list_is_paged(quarantine: Quarantine) -> None:
    records = quarantine.add(*[b"x"] * 60)
    first, second, third = (deadletters("list", "--page", page) for page in ("1", "2", "3"))
    assert sum(record + " " in first for record in records) == 50
    assert "1 to 50 of 60; the next: --page 2" in first
    assert sum(record + " " in second for record in records) == 10
    assert not any(record + " " in third for record in records)


def test_show_masks_personal_fields(quarantine: Quarantine) -> None:
    (record,) = quarantine.add(order(7))
    deadletters("list")
    output = deadletters("show", record)
    assert f"key: {SUBJECT}" in output
    assert "data.amount: 49.90" in output
    assert "data.order_id: masked: personal" in output
    assert "O7" not in output
    assert "a replay: possible" in output


def test_show_and_list_report_decisions(quarantine: Quarantine) -> None:
    first, second, third = quarantine.add(order(1), order(2), order(3))
    deadletters("list")
    assert deadletters("replay", first, "--by", "petra") == "1 replayed\n"
    assert deadletters("discard", second, "--by", "petra", "--because", "a test order") == "1 discarded\n"
    assert "replayed by petra on 20" in deadletters("show", first)
    assert f" as {quarantine.topic}/{quarantine.home}/0" in deadletters("show", first)
    assert "UTC: a test order" in deadletters("show", second)
    assert third in deadletters("list")
    assert first not in deadletters("list")
    assert first in deadletters("list", "--state", "replayed")
    with pytest.raises(CommandError, match="1 were not changed"):
        deadletters("replay", first)


def test_replay_all_of_a_reason_keeps_order_and_bytes(quarantine: Quarantine) -> None:
    many = quarantine.add(*[order(number) for number in range(300)])
    (other,) = quarantine.add(order(), reason="misplaced")
    deadletters("list")
    assert deadletters("replay", "--all", "--reason", "invalid") == "300 replayed\n"
    assert [value for _, _, value in quarantine.sent()] == [order(number) for number in range(300)]
    assert states() == dict.fromkeys(many, State.REPLAYED) | {other: State.OPEN}


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("show events.orders.g1/0/1", "No record events.orders.g1/0/1 was quarantined"),
        ("replay events.orders.g1/0/1", "deadletters list"),
        ("replay", "Name records"),
        ("replay x --all", "Name records"),
        ("discard x --because", "expected one argument"),
        ("discard events.orders.g1/0/1", "--because"),
        ("list --state lost", "invalid choice"),
        ("", "COMMAND"),
    ],
)
def test_wrong_arguments_are_refused_with_a_reason(db: None, typed: str, why: str) -> None:
    with pytest.raises(CommandError, match=why):
        call_command("deadletters", *typed.split())


@pytest.mark.parametrize("because", ["", "  "])
def test_discard_needs_a_reason(quarantine: Quarantine, because: str) -> None:
    (record,) = quarantine.add(order())
    services.import_dead_letters()
    with pytest.raises(CommandError, match="State the actor who discards the dead letters, and the reason"):
        deadletters("discard", record, "--because", because)
    assert states() == {record: State.OPEN}


def test_list_without_kafka_prints_known_dead_letters_then_fails(
    no_kafka: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        CommandError, match=r"Kafka at 127\.0\.0\.1:1 does not answer.*Newer dead letters may be missing"
    ):
        call_command("deadletters", "list")
    assert "No dead letter waits for a decision." in capsys.readouterr().out
