"""The only writers of dead letters: imported from Kafka, replayed, discarded, expired, pruned.

A dead letter is reserved in the database before its replay is sent, and confirmed after. Where a process died between
the two, the replay may or may not be in its topic: the next one looks for it there and sends it only if it is missing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from django.db import transaction

from featurestore import names
from featurestore.clock import database_now, milliseconds
from featurestore.config import settings
from featurestore.customers.selectors import held_subjects
from featurestore.identity import partition_of
from featurestore.ingest import dead_letter_topic
from featurestore.ingest.dead_letter_records import (
    RECORD_EXPIRED,
    dead_letter_of,
    first_ms_of,
    replay_obstacle,
)
from featurestore.ingest.dead_letter_topic import DeadLetterTopic, Replay, TopicRecord
from featurestore.ingest.errors import KafkaUnavailable, NoReason
from featurestore.ingest.models import DeadLetter, DeadLetterPosition
from featurestore.ingest.selectors import WAITING, records_of
from featurestore.jobs.batches import batches
from featurestore.tiles.deduplication import DEDUPLICATION_EVENTS

MAX_RECORDS_READ = 20_000
BATCH_ROWS = 1_000
RESERVATION_TIMEOUT = timedelta(minutes=1)
"""After so long the process that reserved a dead letter has sent the record, failed or died."""
RETENTION = timedelta(days=90)
UNCONFIRMED = "Its replay was not confirmed, and it may be sent: replay it again, which looks for it first."
UNCERTAIN = "Kafka did not confirm the record ({}). Replay it again in a minute: it is looked for before it is sent."
State = DeadLetter.State
log = structlog.get_logger(__name__)


class Outcome(NamedTuple):
    """Result of a decision: the dead letters it was carried out for, and by record why the others were refused."""

    done: list[DeadLetter]
    refused: dict[str, str]


def import_dead_letters(now: datetime | None = None) -> int:
    """Import what the streams have quarantined since; the number left for the next time. Raises KafkaUnavailable."""
    generation, left = settings().generation, 0
    topic = names.dead_letters(generation)
    with dead_letter_topic.connect() as kafka:
        partitions, topic_id = _existing(kafka, topic), kafka.topic_id(topic)
        for partition, available in partitions.items():
            start = _position(generation, partition, available, topic_id)
            end = min(available.stop, start + MAX_RECORDS_READ)
            dead_letters = [
                dead_letter_of(record, generation) for record in kafka.read(topic, partition, range(start, end))
            ]
            values = {"next_offset": end, "topic_id": topic_id, "read_at": now or database_now()}
            with transaction.atomic():
                for batch in batches(dead_letters, BATCH_ROWS):
                    DeadLetter.objects.bulk_create(batch, ignore_conflicts=True)  # a repeated one
                DeadLetterPosition.objects.update_or_create(values, generation=generation, partition=partition)
            left += available.stop - end
    return left


def _existing(kafka: DeadLetterTopic, topic: str) -> dict[int, range]:
    if bounds := kafka.bounds(topic):
        return bounds
    raise KafkaUnavailable(f"Kafka at {kafka.kafka} has no topic {topic}: python -m streams topics apply")


def _position(generation: int, partition: int, available: range, topic_id: str) -> int:
    """The next offset to read; the first one where it has expired, or where the topic was made anew."""
    known = DeadLetterPosition.objects.filter(generation=generation, partition=partition).first()
    if known and known.topic_id and topic_id and known.topic_id != topic_id:
        log.warning("the topic of dead letters was made anew: it is imported from its beginning", partition=partition)
        return available.start
    return known.next_offset if known and available.start <= known.next_offset <= available.stop else available.start


def replay(keys: Sequence[int], *, actor: str, now: datetime | None = None) -> Outcome:
    """Send the records of dead letters, by primary key, to their topics again, bytes unchanged. Raises NoReason.

    A batch is no larger than the deduplication window, so a record that is sent twice counts once.
    """
    if not actor:
        raise NoReason("State the actor who replays the dead letters.")
    outcome, at = Outcome([], {}), now or database_now()
    for batch in batches(keys, DEDUPLICATION_EVENTS):
        dead_letters = list(DeadLetter.objects.filter(pk__in=batch).order_by("topic", "partition", "offset"))
        outcome.refused.update(
            {str(one): why for one in dead_letters if (why := _decided(one, at) or replay_obstacle(one))}
        )
        replayable = [one for one in dead_letters if str(one) not in outcome.refused]
        try:
            if replayable:
                with dead_letter_topic.connect() as kafka:
                    _replay(kafka, replayable, actor, at, outcome)
        except KafkaUnavailable as error:
            done = {one.pk for one in outcome.done}
            outcome.refused.update({str(one): str(error) for one in replayable if one.pk not in done})
    if outcome.done:
        log.info("dead letters replayed", actor=actor, dead_letters=[str(one) for one in outcome.done])
    return outcome


def _replay(
    kafka: DeadLetterTopic, dead_letters: Sequence[DeadLetter], actor: str, at: datetime, outcome: Outcome
) -> None:
    records = records_of(kafka, dead_letters)
    outcome.refused.update({str(one): RECORD_EXPIRED for one in dead_letters if one.pk not in records})
    found = {
        one.pk: offset for one in dead_letters if one.pk in records and (offset := _unconfirmed(kafka, one)) is not None
    }
    replayable = [one for one in dead_letters if one.pk in records and one.pk not in found]
    reserved = _reserve(kafka, replayable, actor, at)
    outcome.refused.update({str(one): "It was decided meanwhile." for one in replayable if one not in reserved})
    replays = [_replay_of(one, records[one.pk]) for one in reserved]
    written, failed = kafka.send(replays) if replays else ({}, {})
    for one in dead_letters:
        offset = found.get(one.pk, written.get(str(one)))
        if offset is not None:
            DeadLetter.objects.filter(pk=one.pk, state=State.SENDING).update(state=State.REPLAYED, sent_offset=offset)
            outcome.done.append(one)
    outcome.refused.update({record: UNCERTAIN.format(why) for record, why in failed.items()})


def _unconfirmed(kafka: DeadLetterTopic, dead_letter: DeadLetter) -> int | None:
    """The offset of a replay that was sent and never confirmed; None if there is none."""
    if dead_letter.state != State.SENDING:
        return None
    assert dead_letter.decided_at is not None
    assert dead_letter.sent_partition is not None
    assert dead_letter.sent_offset is not None
    before_ms = milliseconds(dead_letter.decided_at + RESERVATION_TIMEOUT)
    return kafka.find_replay(
        str(dead_letter), dead_letter.sent_topic, dead_letter.sent_partition, dead_letter.sent_offset, before_ms
    )


def _reserve(kafka: DeadLetterTopic, dead_letters: Sequence[DeadLetter], actor: str, at: datetime) -> list[DeadLetter]:
    """Reserve dead letters, with their target partition and first possible offset; return those that are reserved."""
    conf = settings()
    for dead_letter in dead_letters:
        dead_letter.sent_topic = names.events(names.source_of(dead_letter.topic) or "", conf.generation)
        dead_letter.sent_partition = partition_of(dead_letter.subject, conf.partitions)
    bounds = {topic: _existing(kafka, topic) for topic in {one.sent_topic for one in dead_letters}}
    reserved = []
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
                reserved.append(dead_letter)
    return reserved


def _replay_of(dead_letter: DeadLetter, record: TopicRecord) -> Replay:
    partition = dead_letter.sent_partition or 0
    return Replay(str(dead_letter), dead_letter.sent_topic, partition, record.key, record.value, first_ms_of(record))


def discard(keys: Sequence[int], *, actor: str, reason: str, now: datetime | None = None) -> Outcome:
    """Close dead letters, by primary key, without a replay, for a stated reason. Raises NoReason."""
    if not reason.strip() or not actor:
        raise NoReason("State the actor who discards the dead letters, and the reason.")
    outcome, at = Outcome([], {}), now or database_now()
    for batch in batches(keys, BATCH_ROWS):
        with transaction.atomic():
            dead_letters = list(DeadLetter.objects.select_for_update().filter(pk__in=batch))
            done = [one for one in dead_letters if one.state == State.OPEN]
            DeadLetter.objects.filter(pk__in=[one.pk for one in done]).update(
                state=State.DISCARDED, decided_at=at, decided_by=actor[:150], decided_reason=reason.strip()[:500]
            )
        outcome.done.extend(done)
        outcome.refused.update({str(one): _decided(one, at) or UNCONFIRMED for one in dead_letters if one not in done})
    if outcome.done:
        log.info("dead letters discarded", actor=actor, dead_letters=[str(one) for one in outcome.done])
    return outcome


def _decided(dead_letter: DeadLetter, at: datetime) -> str | None:
    """Why a dead letter can't be decided any more, or not yet."""
    match dead_letter.state:
        case State.REPLAYED | State.DISCARDED:
            return f"{dead_letter.decided_by} {dead_letter.state} it on {dead_letter.decided_at:%Y-%m-%d %H:%M} UTC."
        case State.EXPIRED:
            return RECORD_EXPIRED
        case State.SENDING if dead_letter.decided_at and dead_letter.decided_at > at - RESERVATION_TIMEOUT:
            return f"{dead_letter.decided_by} is replaying it. Wait a minute."
    return None


def expire(now: datetime | None = None) -> int:
    """Close the dead letters whose records Kafka no longer has; how many. Raises KafkaUnavailable."""
    expired = 0
    waiting = DeadLetter.objects.filter(WAITING)
    with dead_letter_topic.connect() as kafka:
        for generation in set(waiting.values_list("generation", flat=True)):
            for partition, available in kafka.bounds(names.dead_letters(generation)).items():
                overdue = waiting.filter(
                    generation=generation, partition=partition, dead_letter_offset__lt=available.start
                )
                expired += overdue.update(state=State.EXPIRED, decided_at=now or database_now())
    if expired:
        log.error("dead letters expired undecided", dead_letters=expired)
    return expired


def prune(now: datetime | None = None) -> int:
    """Delete the dead letters that were closed 90 days ago, but for those that a legal hold keeps; how many."""
    at = now or database_now()
    closed = DeadLetter.objects.filter(decided_at__lt=at - RETENTION).exclude(WAITING)
    return closed.exclude(subject__in=held_subjects("dead_letters", at)).delete()[0]
