"""Dead letters with a real Kafka: imported, shown, replayed, discarded, expired and pruned."""

from datetime import UTC, datetime, timedelta

import pytest

from featurestore import names
from featurestore.clock import milliseconds
from featurestore.definitions.masking import MASKED
from featurestore.first_timestamp import HEADER
from featurestore.ingest import dead_letter_topic, selectors, services
from featurestore.ingest.errors import KafkaUnavailable, NoReason, RecordExpired, UnknownDeadLetter
from featurestore.ingest.models import DeadLetter, DeadLetterPosition
from tests.ingest.quarantine import Quarantine, states
from tests.kit.orders import SUBJECT, order

State = DeadLetter.State


def keys(*records: str) -> list[int]:
    return [selectors.find_dead_letter(record).pk for record in records]


def replay(*records: str, actor: str = "petra", now: datetime | None = None) -> services.Outcome:
    return services.replay(keys(*records), actor=actor, now=now)


def refusal(outcome: services.Outcome) -> str:
    assert outcome.done == []
    (why,) = outcome.refused.values()
    return why


def test_import_keeps_topic_reason_detail_and_subject(quarantine: Quarantine) -> None:
    (record,) = quarantine.add(b"{}", reason="invalid", detail="Object missing required field `id`")
    assert services.import_dead_letters() == 0
    dead_letter = selectors.find_dead_letter(record)
    assert (dead_letter.topic, dead_letter.reason) == (quarantine.topic, "invalid")
    assert dead_letter.detail == "Object missing required field `id`"
    assert (dead_letter.subject, dead_letter.size, dead_letter.state, dead_letter.tries) == (SUBJECT, 2, State.OPEN, 0)
    assert timedelta(0) <= datetime.now(UTC) - dead_letter.quarantined_at < timedelta(minutes=1)


def test_import_resumes_and_ignores_duplicates(quarantine: Quarantine) -> None:
    records = quarantine.add(b"1", b"2", start=0)
    services.import_dead_letters()
    quarantine.add(b"2", b"3", start=1)  # a fetch batch that a restarted worker repeats
    services.import_dead_letters()
    assert states().keys() == {*records, f"{quarantine.topic}/{quarantine.home}/2"}
    position = DeadLetterPosition.objects.get(partition=quarantine.home)
    assert position.next_offset == 4
    services.import_dead_letters()
    assert DeadLetter.objects.count() == 3


def test_long_topic_is_imported_in_batches(quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_RECORDS_READ", 4)
    monkeypatch.setattr(services, "BATCH_ROWS", 3)
    quarantine.add(*[b"x"] * 10)
    assert [services.import_dead_letters() for _ in range(3)] == [6, 2, 0]
    assert DeadLetter.objects.count() == 10


def test_recreated_topic_is_imported_from_its_beginning(quarantine: Quarantine) -> None:
    quarantine.add(b"1")
    DeadLetterPosition.objects.create(
        generation=quarantine.conf.generation, partition=quarantine.home, next_offset=99, read_at=datetime.now(UTC)
    )
    services.import_dead_letters()
    assert DeadLetter.objects.count() == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"topic": b"events.orders.g1", "reason": b"invalid", "partition": b"0", "offset": b"x", "timestamp_ms": b"1"},
        {"topic": b"events.orders.g1", "reason": b"A reason!", "partition": b"0", "offset": b"1", "timestamp_ms": b"1"},
        {"topic": b"a/b", "reason": b"invalid", "partition": b"0", "offset": b"1", "timestamp_ms": b"1"},
        {"topic": b"events.orders.g1", "reason": b"invalid", "partition": b"3", "offset": b"1", "timestamp_ms": b"1"},
        {"topic": b"\xff", "reason": b"invalid", "partition": b"0", "offset": b"1", "timestamp_ms": b"9" * 18},
    ],
)
def test_record_without_valid_headers_is_an_unreadable_dead_letter(
    quarantine: Quarantine, headers: dict[str, bytes]
) -> None:
    topic = names.dead_letters(quarantine.conf.generation)
    quarantine.write(topic, b"ann@example.org", b"ann@example.org", headers)
    services.import_dead_letters()
    dead_letter = selectors.find_dead_letter(f"{topic}/0/0")
    assert (dead_letter.reason, dead_letter.subject, dead_letter.size) == ("unreadable", "", 15)
    assert "No source of the catalog" in refusal(replay(str(dead_letter)))
    assert selectors.content(dead_letter) == []
    assert services.discard([dead_letter.pk], actor="petra", reason="a stray").refused == {}


def test_content_hides_personal_and_unknown_fields(quarantine: Quarantine) -> None:
    value = order().replace(b'"quantity":2', b'"quantity":"ann@example.org","email":"ann@example.org"')
    (record,) = quarantine.add(value)
    services.import_dead_letters()
    shown = {field.name: field.text for field in selectors.content(selectors.find_dead_letter(record))}
    assert shown["data.amount"] == "49.90"
    assert shown["data.order_id"] == MASKED
    assert shown["data.category"] == "null"
    assert shown["subject"] == SUBJECT
    assert "ann" not in str(shown)
    assert "1 field that the source does not define" in shown["data"]


@pytest.mark.parametrize("value", [b"", b"ann@example.org", b"[1]", b"\xff\xfe", b"[" * 90_000, b'{"a":' * 9_000])
def test_content_of_a_value_that_is_no_event_is_empty(quarantine: Quarantine, value: bytes) -> None:
    (record,) = quarantine.add(value)
    services.import_dead_letters()
    assert selectors.content(selectors.find_dead_letter(record)) == []


def test_replay_sends_the_same_bytes_to_the_subjects_partition(quarantine: Quarantine) -> None:
    records = quarantine.add(order(1), order(2), reason="misplaced", partition=(quarantine.home + 1) % 4)
    services.import_dead_letters()
    outcome = replay(*records)
    assert [str(dead_letter) for dead_letter in outcome.done] == records
    assert quarantine.sent() == [
        (quarantine.home, SUBJECT.encode(), order(1)),
        (quarantine.home, SUBJECT.encode(), order(2)),
    ]
    dead_letter = selectors.find_dead_letter(records[1])
    assert (dead_letter.state, dead_letter.decided_by) == (State.REPLAYED, "petra")
    sent_to = dead_letter.sent_topic, dead_letter.sent_partition, dead_letter.sent_offset
    assert sent_to == (quarantine.topic, quarantine.home, 1)


def first_timestamps(quarantine: Quarantine) -> list[int]:
    """The first timestamps in the headers of the replays, in order."""
    replays = sorted(quarantine.sent_messages(), key=lambda message: message.offset())
    return [int(dict(message.headers())[HEADER]) for message in replays]


def test_replay_carries_the_time_of_the_first_recording_however_often(quarantine: Quarantine) -> None:
    before_ms = milliseconds(datetime.now(UTC))
    (record,) = quarantine.add(order())
    services.import_dead_letters()
    replay(record)
    (first_ms,) = first_timestamps(quarantine)
    assert before_ms <= first_ms <= milliseconds(datetime.now(UTC))
    (again,) = quarantine.add(order(), headers=quarantine.sent_messages()[0].headers())
    services.import_dead_letters()
    replay(again)
    assert first_timestamps(quarantine) == [first_ms, first_ms]


@pytest.mark.parametrize("stated", [b"soon", b"9" * 15, b""])
def test_replay_of_a_forged_dead_letter_is_not_later_than_the_dead_letter(
    quarantine: Quarantine, stated: bytes
) -> None:
    headers = {"topic": quarantine.topic.encode(), "reason": b"invalid", "partition": b"0", "offset": b"7"}
    topic = names.dead_letters(quarantine.conf.generation)
    quarantine.write(topic, order(), SUBJECT.encode(), headers | {"timestamp_ms": b"253402300799999", HEADER: stated})
    services.import_dead_letters()
    replay(f"{quarantine.topic}/0/7")
    (first_ms,) = first_timestamps(quarantine)
    assert first_ms <= milliseconds(datetime.now(UTC))


def test_dead_letter_is_replayed_once(quarantine: Quarantine) -> None:
    (record,) = quarantine.add(order())
    services.import_dead_letters()
    replay(record)
    assert "petra replayed it" in refusal(replay(record, actor="olivia"))
    assert len(quarantine.sent()) == 1


def test_replay_that_died_after_sending_is_not_sent_again(
    quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (record,) = quarantine.add(order())
    services.import_dead_letters()
    send = dead_letter_topic.DeadLetterTopic.send

    def send_and_die(kafka: dead_letter_topic.DeadLetterTopic, replays: list[dead_letter_topic.Replay]) -> None:
        send(kafka, replays)
        raise SystemExit

    monkeypatch.setattr(dead_letter_topic.DeadLetterTopic, "send", send_and_die)
    with pytest.raises(SystemExit):
        replay(record)
    monkeypatch.setattr(dead_letter_topic.DeadLetterTopic, "send", send)
    assert states() == {record: State.SENDING}
    assert "Wait a minute" in refusal(replay(record, actor="olivia"))
    later = datetime.now(UTC) + timedelta(minutes=2)
    assert [str(dead_letter) for dead_letter in replay(record, actor="olivia", now=later).done] == [record]
    assert len(quarantine.sent()) == 1
    dead_letter = selectors.find_dead_letter(record)
    assert (dead_letter.state, dead_letter.decided_by, dead_letter.sent_offset) == (State.REPLAYED, "petra", 0)


def test_replay_that_died_before_sending_is_sent_by_the_next(
    quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = quarantine.add(order(1), order(2))
    services.import_dead_letters()
    with monkeypatch.context() as patch:
        patch.setattr(dead_letter_topic.DeadLetterTopic, "send", lambda *_: exec("raise SystemExit"))
        with pytest.raises(SystemExit):
            replay(first)
    replay(second)  # what others send meanwhile is not taken for it
    assert services.discard(keys(first), actor="petra", reason="x", now=None).done == []
    later = datetime.now(UTC) + timedelta(minutes=2)
    assert "looks for it first" in refusal(services.discard(keys(first), actor="petra", reason="x", now=later))
    assert replay(first, actor="olivia", now=later).refused == {}
    assert [value for _, _, value in quarantine.sent()] == [order(2), order(1)]
    assert selectors.find_dead_letter(first).decided_by == "olivia"


def test_unacknowledged_replay_stays_reserved(quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    (record,) = quarantine.add(order())
    services.import_dead_letters()
    monkeypatch.setattr(
        dead_letter_topic.DeadLetterTopic, "send", lambda _, replays: ({}, {replays[0].record_id: "timed out"})
    )
    assert "did not confirm the record (timed out)" in refusal(replay(record))
    assert states() == {record: State.SENDING}
    assert selectors.quarantine_status().waiting == 1


def test_record_that_fails_again_counts_its_earlier_replays(quarantine: Quarantine) -> None:
    (record,) = quarantine.add(b'{"id": 1}')
    services.import_dead_letters()
    replay(record)
    (again,) = quarantine.add(b'{"id": 1}')
    services.import_dead_letters()
    assert selectors.find_dead_letter(again).tries == 1
    assert selectors.find_dead_letter(record).tries == 0
    assert replay(again).refused == {}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"key": b"ann@example.org"}, "Its key is no subject"),
        ({"key": None}, "Its key is no subject"),
        ({"topic": "events.gone.g1"}, "No source of the catalog reads events.gone.g1"),
        ({"topic": "consent.purge.g1"}, "No source of the catalog reads consent.purge.g1"),
    ],
)
def test_replay_that_would_fail_again_is_refused(quarantine: Quarantine, fields: dict[str, object], why: str) -> None:
    (record,) = quarantine.add(order(), **fields)  # type: ignore[arg-type]
    services.import_dead_letters()
    assert why in refusal(replay(record))
    assert states() == {record: State.OPEN}
    assert quarantine.sent() == []


def test_replay_of_a_too_large_event_is_refused(quarantine: Quarantine) -> None:
    (record,) = quarantine.add(b" " * 70_000, reason="too_large")
    services.import_dead_letters()
    assert "65,536 that a stream worker accepts" in refusal(replay(record))


def test_replay_of_an_earlier_generation_goes_to_the_present_topic(quarantine: Quarantine) -> None:
    (record,) = quarantine.add(order(), topic="events.orders.g3")
    services.import_dead_letters()
    assert replay(record).refused == {}
    assert [value for _, _, value in quarantine.sent()] == [order()]


def test_record_of_a_recreated_topic_has_expired(quarantine: Quarantine) -> None:
    (record,) = quarantine.add(order())
    services.import_dead_letters()
    DeadLetter.objects.update(sha256="0" * 64)  # another record has its offset
    with pytest.raises(RecordExpired, match="no longer has the record"):
        selectors.content(selectors.find_dead_letter(record))
    assert "no longer has the record" in refusal(replay(record))
    assert states() == {record: State.OPEN}


def test_discard_stores_actor_time_and_reason(quarantine: Quarantine) -> None:
    (record,) = quarantine.add(order())
    services.import_dead_letters()
    for actor, reason in (("petra", "  "), ("", "a test")):
        with pytest.raises(NoReason):
            services.discard(keys(record), actor=actor, reason=reason)
    with pytest.raises(NoReason):
        replay(record, actor="")
    assert services.discard(keys(record), actor="petra", reason=" a test order ").refused == {}
    dead_letter = selectors.find_dead_letter(record)
    assert (dead_letter.state, dead_letter.decided_by, dead_letter.decided_reason) == (
        State.DISCARDED,
        "petra",
        "a test order",
    )
    assert dead_letter.decided_at is not None
    assert "petra discarded it" in refusal(services.discard(keys(record), actor="olivia", reason="again"))
    assert "petra discarded it" in refusal(replay(record))
    assert quarantine.sent() == []


def test_expired_dead_letters_are_closed_and_closed_ones_pruned(quarantine: Quarantine) -> None:
    first, second = quarantine.add(order(1), order(2))
    services.import_dead_letters()
    assert services.expire() == 0
    with dead_letter_topic.connect() as kafka:
        kept = kafka.bounds(names.dead_letters(quarantine.conf.generation))[quarantine.home]
    DeadLetter.objects.filter(dead_letter_offset=kept.start + 1).update(dead_letter_offset=kept.stop)
    remaining = range(kept.start + 1, kept.stop + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dead_letter_topic.DeadLetterTopic, "bounds", lambda *_: {quarantine.home: remaining})
        assert services.expire() == 1
    assert states() == {first: State.EXPIRED, second: State.OPEN}
    assert "no longer has the record" in refusal(replay(first))
    assert services.prune() == 0
    assert services.prune(datetime.now(UTC) + services.RETENTION + timedelta(minutes=1)) == 1
    assert states() == {second: State.OPEN}, "an open dead letter is never pruned"


@pytest.mark.parametrize("record", ["", "x", "events.orders.g1/0", "events.orders.g1/0/1", "a/b/c", "t/0/" + "9" * 40])
def test_unknown_record_is_refused(db: None, record: str) -> None:
    with pytest.raises(UnknownDeadLetter, match="deadletters list"):
        selectors.find_dead_letter(record)


def test_unavailable_kafka_is_reported_and_changes_nothing(
    quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (record,) = quarantine.add(order())
    services.import_dead_letters()
    read_at = selectors.read_at()
    monkeypatch.setattr(dead_letter_topic, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(
        dead_letter_topic, "settings", lambda: quarantine.conf.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    )
    with pytest.raises(KafkaUnavailable, match=r"127\.0\.0\.1:1 does not answer"):
        services.import_dead_letters()
    with pytest.raises(KafkaUnavailable):
        selectors.content(selectors.find_dead_letter(record))
    assert "does not answer" in refusal(replay(record))
    assert states() == {record: State.OPEN}
    assert selectors.read_at() == read_at


def test_missing_topic_is_reported_with_the_command_that_creates_it(
    quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "settings", lambda: quarantine.conf.model_copy(update={"generation": 1}))
    with pytest.raises(KafkaUnavailable, match=r"no topic dead-letters\.g1: python -m streams topics apply"):
        services.import_dead_letters()


def test_topic_made_anew_and_grown_past_the_position_is_imported_from_its_beginning(
    quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    quarantine.add(b"1", b"2")
    services.import_dead_letters()
    known = DeadLetterPosition.objects.get(partition=quarantine.home)
    assert known.topic_id
    assert services.import_dead_letters() == 0
    DeadLetter.objects.all().delete()
    DeadLetterPosition.objects.update(topic_id="of the topic before")
    services.import_dead_letters()
    assert DeadLetter.objects.count() == 2
    assert DeadLetterPosition.objects.get(partition=quarantine.home).topic_id == known.topic_id
