"""The only writers of dead letters: read from Kafka, replayed, discarded, forgotten.

A replay is claimed before it is sent and settled after. Where a process died between the two, nobody knows whether the
record is there: the next replay of the letter looks for it where it would be, and sends only what it does not find.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from django.db import transaction

from featurestore import names
from featurestore.clock import database_now, milliseconds
from featurestore.config import settings
from featurestore.identity import partition_of
from featurestore.ingest import dead_letter_topic
from featurestore.ingest.dead_letter_records import RECORD_EXPIRED, dead_letter_of, replay_obstacle
from featurestore.ingest.dead_letter_topic import DeadLetterTopic, KafkaRecord, Replay
from featurestore.ingest.errors import KafkaUnavailable, NoReason
from featurestore.ingest.models import DeadLetter, DeadLetterPosition
from featurestore.ingest.selectors import WAITING, records_of
from featurestore.jobs.batches import batches
from featurestore.tiles.deduplication import KEPT

MAX_RECORDS_READ = 20_000
BATCH_ROWS = 1_000
CLAIM_TIMEOUT = timedelta(minutes=1)
"""A claim's sender has sent, failed or died after so long."""
RETENTION = timedelta(days=90)
UNSETTLED = "Somebody was replaying it, and nobody knows whether it is sent: replay it, which looks for it first."
UNCERTAIN = "Kafka gave no certain answer ({}). Replay it again in a minute: it is looked for before it is sent."
State = DeadLetter.State
log = structlog.get_logger(__name__)


class Outcome(NamedTuple):
    """What became of letters: those done, and by place why the others were not."""

    done: list[DeadLetter]
    refused: dict[str, str]


def import_dead_letters(now: datetime | None = None) -> int:
    """Note the letters that the streams have written since; how many are left for the next time. Raises KafkaUnavailable."""
    generation, left = settings().generation, 0
    topic = names.dead_letters(generation)
    with dead_letter_topic.connect() as kafka:
        for partition, there in _existing(kafka, topic).items():
            start = _position(generation, partition, there)
            end = min(there.stop, start + MAX_RECORDS_READ)
            dead_letters = [
                dead_letter_of(record, generation) for record in kafka.read(topic, partition, range(start, end))
            ]
            told = {"next_offset": end, "read_at": now or database_now()}
            with transaction.atomic():
                for batch in batches(dead_letters, BATCH_ROWS):
                    DeadLetter.objects.bulk_create(batch, ignore_conflicts=True)  # a worker's replay writes it twice
                DeadLetterPosition.objects.update_or_create(told, generation=generation, partition=partition)
            left += there.stop - end
    return left


def _existing(kafka: DeadLetterTopic, topic: str) -> dict[int, range]:
    if bounds := kafka.bounds(topic):
        return bounds
    raise KafkaUnavailable(f"Kafka at {kafka.bootstrap} has no topic {topic}: python -m streams topics apply")


def _position(generation: int, partition: int, there: range) -> int:
    """Where to go on; from the beginning where that is aged out or, in a topic made anew, still to come."""
    known = DeadLetterPosition.objects.filter(generation=generation, partition=partition).first()
    return known.next_offset if known and there.start <= known.next_offset <= there.stop else there.start


def replay(keys: Sequence[int], *, actor: str, now: datetime | None = None) -> Outcome:
    """Send the records of letters, by primary key, to their topics again, bytes unchanged. Raises NoReason.

    No more are under way than the streams keep identities, so what is sent twice counts once.
    """
    if not actor:
        raise NoReason("Say who replays the letters.")
    outcome, at = Outcome([], {}), now or database_now()
    for batch in batches(keys, KEPT):
        dead_letters = list(DeadLetter.objects.filter(pk__in=batch).order_by("topic", "partition", "offset"))
        outcome.refused.update(
            {str(one): why for one in dead_letters if (why := _settled(one, at) or replay_obstacle(one))}
        )
        willing = [one for one in dead_letters if str(one) not in outcome.refused]
        try:
            if willing:
                with dead_letter_topic.connect() as kafka:
                    _replay(kafka, willing, actor, at, outcome)
        except KafkaUnavailable as error:
            done = {one.pk for one in outcome.done}
            outcome.refused.update({str(one): str(error) for one in willing if one.pk not in done})
    if outcome.done:
        log.info("dead letters replayed", actor=actor, dead_letters=[str(one) for one in outcome.done])
    return outcome


def _replay(
    kafka: DeadLetterTopic, dead_letters: Sequence[DeadLetter], actor: str, at: datetime, outcome: Outcome
) -> None:
    records = records_of(kafka, dead_letters)
    outcome.refused.update({str(one): RECORD_EXPIRED for one in dead_letters if one.pk not in records})
    found = {one.pk: offset for one in dead_letters if one.pk in records and (offset := _sent(kafka, one)) is not None}
    willing = [one for one in dead_letters if one.pk in records and one.pk not in found]
    claimed = _claim(kafka, willing, actor, at)
    outcome.refused.update({str(one): "Somebody decided it meanwhile." for one in willing if one not in claimed})
    replays = [_replay_of(one, records[one.pk]) for one in claimed]
    written, failed = kafka.send(replays) if replays else ({}, {})
    for one in dead_letters:
        offset = found.get(one.pk, written.get(str(one)))
        if offset is not None:
            DeadLetter.objects.filter(pk=one.pk, state=State.SENDING).update(state=State.REPLAYED, sent_offset=offset)
            outcome.done.append(one)
    outcome.refused.update({place: UNCERTAIN.format(why) for place, why in failed.items()})


def _sent(kafka: DeadLetterTopic, dead_letter: DeadLetter) -> int | None:
    """Where the record is that somebody sent who did not live to tell."""
    if dead_letter.state != State.SENDING:
        return None
    assert dead_letter.decided_at is not None
    assert dead_letter.sent_partition is not None
    assert dead_letter.sent_offset is not None
    before_ms = milliseconds(dead_letter.decided_at + CLAIM_TIMEOUT)
    return kafka.find(
        str(dead_letter), dead_letter.sent_topic, dead_letter.sent_partition, dead_letter.sent_offset, before_ms
    )


def _claim(kafka: DeadLetterTopic, dead_letters: Sequence[DeadLetter], actor: str, at: datetime) -> list[DeadLetter]:
    """The letters that are ours to send now, each with where it goes and from where on it will be there."""
    conf = settings()
    for dead_letter in dead_letters:
        dead_letter.sent_topic = names.events(names.source_of(dead_letter.topic) or "", conf.generation)
        dead_letter.sent_partition = partition_of(dead_letter.subject, conf.partitions)
    bounds = {topic: _existing(kafka, topic) for topic in {dead_letter.sent_topic for dead_letter in dead_letters}}
    claimed = []
    with transaction.atomic():
        for dead_letter in dead_letters:
            dead_letter.sent_offset = bounds[dead_letter.sent_topic][dead_letter.sent_partition or 0].stop
            unchanged = DeadLetter.objects.filter(
                pk=dead_letter.pk, state=dead_letter.state, decided_at=dead_letter.decided_at
            )
            if unchanged.update(
                state=State.SENDING,
                decided_at=at,
                decided_by=actor[:150],
                sent_topic=dead_letter.sent_topic,
                sent_partition=dead_letter.sent_partition,
                sent_offset=dead_letter.sent_offset,
            ):
                claimed.append(dead_letter)
    return claimed


def _replay_of(dead_letter: DeadLetter, record: KafkaRecord) -> Replay:
    return Replay(str(dead_letter), dead_letter.sent_topic, dead_letter.sent_partition or 0, record.key, record.value)


def discard(keys: Sequence[int], *, actor: str, reason: str, now: datetime | None = None) -> Outcome:
    """Settle letters, by primary key, without a replay, for a stated reason. Raises NoReason."""
    if not reason.strip() or not actor:
        raise NoReason("Say who discards the letters and why.")
    outcome, at = Outcome([], {}), now or database_now()
    for batch in batches(keys, BATCH_ROWS):
        with transaction.atomic():
            dead_letters = list(DeadLetter.objects.select_for_update().filter(pk__in=batch))
            done = [one for one in dead_letters if one.state == State.OPEN]
            DeadLetter.objects.filter(pk__in=[one.pk for one in done]).update(
                state=State.DISCARDED, decided_at=at, decided_by=actor[:150], decided_reason=reason.strip()[:500]
            )
        outcome.done.extend(done)
        outcome.refused.update({str(one): _settled(one, at) or UNSETTLED for one in dead_letters if one not in done})
    if outcome.done:
        log.info("dead letters discarded", actor=actor, dead_letters=[str(one) for one in outcome.done])
    return outcome


def _settled(dead_letter: DeadLetter, at: datetime) -> str | None:
    """Why nothing is to be decided about a letter any more, or just now."""
    match dead_letter.state:
        case State.REPLAYED | State.DISCARDED:
            return (
                f"{dead_letter.decided_by} has {dead_letter.state} it on {dead_letter.decided_at:%Y-%m-%d %H:%M} UTC."
            )
        case State.EXPIRED:
            return RECORD_EXPIRED
        case State.SENDING if dead_letter.decided_at and dead_letter.decided_at > at - CLAIM_TIMEOUT:
            return f"{dead_letter.decided_by} is replaying it. Wait a minute."
    return None


def expire(now: datetime | None = None) -> int:
    """Settle the letters whose records have aged out of Kafka; how many. Raises KafkaUnavailable."""
    expired = 0
    waiting = DeadLetter.objects.filter(WAITING)
    with dead_letter_topic.connect() as kafka:
        for generation in set(waiting.values_list("generation", flat=True)):
            for partition, there in kafka.bounds(names.dead_letters(generation)).items():
                gone = waiting.filter(generation=generation, partition=partition, letter_offset__lt=there.start)
                expired += gone.update(state=State.EXPIRED, decided_at=now or database_now())
    if expired:
        log.error("dead letters aged out undecided", dead_letters=expired)
    return expired


def prune(now: datetime | None = None) -> int:
    """Forget what was settled 90 days ago; how many letters."""
    return DeadLetter.objects.filter(decided_at__lt=(now or database_now()) - RETENTION).exclude(WAITING).delete()[0]
