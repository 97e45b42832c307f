"""Dead letters against a real Kafka: found, seen, replayed and discarded, once and for all."""

from datetime import UTC, datetime, timedelta

import pytest

from featurestore import names
from featurestore.definitions.masking import MASKED
from featurestore.ingest import dead_letter_topic, selectors, services
from featurestore.ingest.errors import KafkaUnavailable, NoReason, RecordExpired, UnknownDeadLetter
from featurestore.ingest.models import DeadLetter, DeadLetterPosition
from tests.ingest.quarantine import SUBJECT, Quarantine, order, states

State = DeadLetter.State


def keys(*places: str) -> list[int]:
    return [selectors.find_dead_letter(place).pk for place in places]


def replay(*places: str, actor: str = "petra", now: datetime | None = None) -> services.Outcome:
    return services.replay(keys(*places), actor=actor, now=now)


def refusal(outcome: services.Outcome) -> str:
    assert outcome.done == []
    (why,) = outcome.refused.values()
    return why


def test_letters_are_found_with_everything_the_streams_said(post: Quarantine) -> None:
    (place,) = post.put(b"{}", reason="invalid", detail="Object missing required field `id`")
    assert services.import_dead_letters() == 0
    dead_letter = selectors.find_dead_letter(place)
    assert (dead_letter.topic, dead_letter.reason, dead_letter.detail) == (
        post.topic,
        "invalid",
        "Object missing required field `id`",
    )
    assert (dead_letter.subject, dead_letter.size, dead_letter.state, dead_letter.tries) == (SUBJECT, 2, State.OPEN, 0)
    assert timedelta(0) <= datetime.now(UTC) - dead_letter.quarantined_at < timedelta(minutes=1)


def test_reading_goes_on_where_it_ended_and_knows_a_letter_written_twice(post: Quarantine) -> None:
    places = post.put(b"1", b"2", start=0)
    services.import_dead_letters()
    post.put(b"2", b"3", start=1)  # a bundle that a restarted worker took again
    services.import_dead_letters()
    assert states().keys() == {*places, f"{post.topic}/{post.home}/2"}
    position = DeadLetterPosition.objects.get(partition=post.home)
    assert position.next_offset == 4
    services.import_dead_letters()
    assert DeadLetter.objects.count() == 3


def test_a_long_topic_is_read_in_pieces(post: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_RECORDS_READ", 4)
    monkeypatch.setattr(services, "BATCH_ROWS", 3)
    post.put(*[b"x"] * 10)
    assert [services.import_dead_letters() for _ in range(3)] == [6, 2, 0]
    assert DeadLetter.objects.count() == 10


def test_a_topic_made_anew_is_read_from_its_beginning(post: Quarantine) -> None:
    post.put(b"1")
    DeadLetterPosition.objects.create(
        generation=post.conf.generation, partition=post.home, next_offset=99, read_at=datetime.now(UTC)
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
def test_what_no_worker_put_aside_is_a_letter_too(post: Quarantine, headers: dict[str, bytes]) -> None:
    topic = names.dead_letters(post.conf.generation)
    post.write(topic, b"ann@example.org", b"ann@example.org", headers)
    services.import_dead_letters()
    dead_letter = selectors.find_dead_letter(f"{topic}/0/0")
    assert (dead_letter.reason, dead_letter.subject, dead_letter.size) == ("unreadable", "", 15)
    assert "No source of the catalog" in refusal(replay(str(dead_letter)))
    assert selectors.content(dead_letter) == []
    assert services.discard([dead_letter.pk], actor="petra", reason="a stray").refused == {}


def test_personal_fields_and_what_the_definition_does_not_know_are_not_shown(post: Quarantine) -> None:
    value = order().replace(b'"quantity":2', b'"quantity":"ann@example.org","email":"ann@example.org"')
    (place,) = post.put(value)
    services.import_dead_letters()
    shown = {field.name: field.text for field in selectors.content(selectors.find_dead_letter(place))}
    assert shown["data.amount"] == "49.90"
    assert shown["data.order_id"] == MASKED
    assert shown["data.category"] == "null"
    assert shown["subject"] == SUBJECT
    assert "ann" not in str(shown)
    assert "1 field that the source does not know" in shown["data"]


@pytest.mark.parametrize("value", [b"", b"ann@example.org", b"[1]", b"\xff\xfe", b"[" * 90_000, b'{"a":' * 9_000])
def test_a_value_that_is_no_event_is_not_shown(post: Quarantine, value: bytes) -> None:
    (place,) = post.put(value)
    services.import_dead_letters()
    assert selectors.content(selectors.find_dead_letter(place)) == []


def test_a_replay_sends_the_same_bytes_to_the_partition_of_the_subject(post: Quarantine) -> None:
    places = post.put(order(1), order(2), reason="misplaced", partition=(post.home + 1) % 4)
    services.import_dead_letters()
    outcome = replay(*places)
    assert [str(dead_letter) for dead_letter in outcome.done] == places
    assert post.sent() == [(post.home, SUBJECT.encode(), order(1)), (post.home, SUBJECT.encode(), order(2))]
    dead_letter = selectors.find_dead_letter(places[1])
    assert (dead_letter.state, dead_letter.decided_by) == (State.REPLAYED, "petra")
    assert (dead_letter.sent_topic, dead_letter.sent_partition, dead_letter.sent_offset) == (post.topic, post.home, 1)


def test_a_letter_is_replayed_once(post: Quarantine) -> None:
    (place,) = post.put(order())
    services.import_dead_letters()
    replay(place)
    assert "petra has replayed it" in refusal(replay(place, actor="olivia"))
    assert len(post.sent()) == 1


def test_a_replay_that_died_after_sending_is_found_and_not_sent_again(
    post: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place,) = post.put(order())
    services.import_dead_letters()
    send = dead_letter_topic.DeadLetterTopic.send

    def send_and_die(kafka: dead_letter_topic.DeadLetterTopic, replays: list[dead_letter_topic.Replay]) -> None:
        send(kafka, replays)
        raise SystemExit

    monkeypatch.setattr(dead_letter_topic.DeadLetterTopic, "send", send_and_die)
    with pytest.raises(SystemExit):
        replay(place)
    monkeypatch.setattr(dead_letter_topic.DeadLetterTopic, "send", send)
    assert states() == {place: State.SENDING}
    assert "Wait a minute" in refusal(replay(place, actor="olivia"))
    later = datetime.now(UTC) + timedelta(minutes=2)
    assert [str(dead_letter) for dead_letter in replay(place, actor="olivia", now=later).done] == [place]
    assert len(post.sent()) == 1
    dead_letter = selectors.find_dead_letter(place)
    assert (dead_letter.state, dead_letter.decided_by, dead_letter.sent_offset) == (State.REPLAYED, "petra", 0)


def test_a_replay_that_died_before_sending_is_sent(post: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = post.put(order(1), order(2))
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
    assert [value for _, _, value in post.sent()] == [order(2), order(1)]
    assert selectors.find_dead_letter(first).decided_by == "olivia"


def test_what_kafka_does_not_confirm_stays_to_be_looked_for(post: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    (place,) = post.put(order())
    services.import_dead_letters()
    monkeypatch.setattr(
        dead_letter_topic.DeadLetterTopic, "send", lambda _, replays: ({}, {replays[0].dead_letter: "timed out"})
    )
    assert "no certain answer (timed out)" in refusal(replay(place))
    assert states() == {place: State.SENDING}
    assert selectors.quarantine_status().waiting == 1


def test_what_fails_again_is_a_new_letter_that_tells_of_the_replay(post: Quarantine) -> None:
    (place,) = post.put(b'{"id": 1}')
    services.import_dead_letters()
    replay(place)
    (again,) = post.put(b'{"id": 1}')
    services.import_dead_letters()
    assert selectors.find_dead_letter(again).tries == 1
    assert selectors.find_dead_letter(place).tries == 0
    assert replay(again).refused == {}


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"key": b"ann@example.org"}, "Its key is no subject"),
        ({"key": None}, "Its key is no subject"),
        ({"topic": "events.gone.g1"}, "No source of the catalog reads events.gone.g1"),
        ({"topic": "consent.purge.g1"}, "No source of the catalog reads consent.purge.g1"),
    ],
)
def test_a_replay_that_can_not_help_is_refused(post: Quarantine, told: dict[str, object], why: str) -> None:
    (place,) = post.put(order(), **told)  # type: ignore[arg-type]
    services.import_dead_letters()
    assert why in refusal(replay(place))
    assert states() == {place: State.OPEN}
    assert post.sent() == []


def test_an_event_that_is_too_large_for_every_worker_is_not_replayed(post: Quarantine) -> None:
    (place,) = post.put(b" " * 70_000, reason="too_large")
    services.import_dead_letters()
    assert "a worker takes 65,536" in refusal(replay(place))


def test_a_letter_of_an_earlier_generation_goes_to_the_present_topic(post: Quarantine) -> None:
    (place,) = post.put(order(), topic="events.orders.g3")
    services.import_dead_letters()
    assert replay(place).refused == {}
    assert [value for _, _, value in post.sent()] == [order()]


def test_letters_whose_topic_was_made_anew_are_gone(post: Quarantine) -> None:
    (place,) = post.put(order())
    services.import_dead_letters()
    DeadLetter.objects.update(sha256="0" * 64)  # another record lies at its place
    with pytest.raises(RecordExpired, match="no longer has the record"):
        selectors.content(selectors.find_dead_letter(place))
    assert "no longer has the record" in refusal(replay(place))
    assert states() == {place: State.OPEN}


def test_a_discarded_letter_keeps_who_when_and_why(post: Quarantine) -> None:
    (place,) = post.put(order())
    services.import_dead_letters()
    for actor, reason in (("petra", "  "), ("", "a test")):
        with pytest.raises(NoReason):
            services.discard(keys(place), actor=actor, reason=reason)
    with pytest.raises(NoReason):
        replay(place, actor="")
    assert services.discard(keys(place), actor="petra", reason=" a test order ").refused == {}
    dead_letter = selectors.find_dead_letter(place)
    assert (dead_letter.state, dead_letter.decided_by, dead_letter.decided_reason) == (
        State.DISCARDED,
        "petra",
        "a test order",
    )
    assert dead_letter.decided_at is not None
    assert "petra has discarded it" in refusal(services.discard(keys(place), actor="olivia", reason="again"))
    assert "petra has discarded it" in refusal(replay(place))
    assert post.sent() == []


def test_aged_out_letters_are_settled_and_settled_ones_forgotten(post: Quarantine) -> None:
    first, second = post.put(order(1), order(2))
    services.import_dead_letters()
    assert services.expire() == 0
    with dead_letter_topic.connect() as kafka:
        kept = kafka.bounds(names.dead_letters(post.conf.generation))[post.home]
    DeadLetter.objects.filter(dead_letter_offset=kept.start + 1).update(dead_letter_offset=kept.stop)
    gone = range(kept.start + 1, kept.stop + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dead_letter_topic.DeadLetterTopic, "bounds", lambda *_: {post.home: gone})
        assert services.expire() == 1
    assert states() == {first: State.EXPIRED, second: State.OPEN}
    assert "no longer has the record" in refusal(replay(first))
    assert services.prune() == 0
    assert services.prune(datetime.now(UTC) + services.RETENTION + timedelta(minutes=1)) == 1
    assert states() == {second: State.OPEN}, "what waits is never forgotten"


@pytest.mark.parametrize("place", ["", "x", "events.orders.g1/0", "events.orders.g1/0/1", "a/b/c", "t/0/" + "9" * 40])
def test_nobody_knows_such_a_letter(db: None, place: str) -> None:
    with pytest.raises(UnknownDeadLetter, match="deadletters list"):
        selectors.find_dead_letter(place)


def test_kafka_away_is_said_and_changes_nothing(post: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    (place,) = post.put(order())
    services.import_dead_letters()
    read_at = selectors.read_at()
    monkeypatch.setattr(dead_letter_topic, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(
        dead_letter_topic, "settings", lambda: post.conf.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    )
    with pytest.raises(KafkaUnavailable, match=r"127\.0\.0\.1:1 does not answer"):
        services.import_dead_letters()
    with pytest.raises(KafkaUnavailable):
        selectors.content(selectors.find_dead_letter(place))
    assert "does not answer" in refusal(replay(place))
    assert states() == {place: State.OPEN}
    assert selectors.read_at() == read_at


def test_a_kafka_without_the_topic_says_how_to_make_it(post: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "settings", lambda: post.conf.model_copy(update={"generation": 1}))
    with pytest.raises(KafkaUnavailable, match=r"no topic dead-letters\.g1: python -m streams topics apply"):
        services.import_dead_letters()
