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
from featurestore.ingest.errors import KafkaUnavailable, NoReason
from featurestore.ingest.dead_letter_topic import DeadLetterTopic, Record, Replay
from featurestore.ingest.dead_letter_records import GONE, dead_letter_of, obstacle
from featurestore.ingest.models import DeadLetter, DeadLetterPosition
from featurestore.ingest.selectors import WAITING, records_of
from featurestore.jobs.batches import batches
from featurestore.tiles.identities import KEPT

READ_AT_MOST = 20_000
ROWS = 1_000
IN_HAND = timedelta(minutes=1)
"""A claim's sender has sent, failed or died after so long."""
KEEP = timedelta(days=90)
UNSETTLED = "Somebody was replaying it, and nobody knows whether it is sent: replay it, which looks for it first."
UNCERTAIN = "Kafka gave no certain answer ({}). Replay it again in a minute: it is looked for before it is sent."
State = DeadLetter.State
log = structlog.get_logger(__name__)


class Outcome(NamedTuple):
    """What became of letters: those done, and by place why the others were not."""

    done: list[DeadLetter]
    refused: dict[str, str]


def collect(now: datetime | None = None) -> int:
    """Note the letters that the streams have written since; how many are left for the next time. Raises KafkaUnavailable."""
    generation, left = settings().generation, 0
    topic = names.dead_letters(generation)
    with dead_letter_topic.opened() as box:
        for partition, there in _existing(box, topic).items():
            start = _position(generation, partition, there)
            end = min(there.stop, start + READ_AT_MOST)
            letters = [dead_letter_of(record, generation) for record in box.read(topic, partition, range(start, end))]
            told = {"next_offset": end, "read_at": now or database_now()}
            with transaction.atomic():
                for batch in batches(letters, ROWS):
                    DeadLetter.objects.bulk_create(batch, ignore_conflicts=True)  # a worker's replay writes it twice
                DeadLetterPosition.objects.update_or_create(told, generation=generation, partition=partition)
            left += there.stop - end
    return left


def _existing(box: DeadLetterTopic, topic: str) -> dict[int, range]:
    if bounds := box.bounds(topic):
        return bounds
    raise KafkaUnavailable(f"Kafka at {box.bootstrap} has no topic {topic}: python -m streams topics apply")


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
        letters = list(DeadLetter.objects.filter(pk__in=batch).order_by("topic", "partition", "offset"))
        outcome.refused.update({str(one): why for one in letters if (why := _settled(one, at) or obstacle(one))})
        willing = [one for one in letters if str(one) not in outcome.refused]
        try:
            if willing:
                with dead_letter_topic.opened() as box:
                    _replay(box, willing, actor, at, outcome)
        except KafkaUnavailable as error:
            done = {one.pk for one in outcome.done}
            outcome.refused.update({str(one): str(error) for one in willing if one.pk not in done})
    if outcome.done:
        log.info("dead letters replayed", actor=actor, letters=[str(one) for one in outcome.done])
    return outcome


def _replay(box: DeadLetterTopic, letters: Sequence[DeadLetter], actor: str, at: datetime, outcome: Outcome) -> None:
    records = records_of(box, letters)
    outcome.refused.update({str(one): GONE for one in letters if one.pk not in records})
    found = {one.pk: offset for one in letters if one.pk in records and (offset := _sent(box, one)) is not None}
    willing = [one for one in letters if one.pk in records and one.pk not in found]
    claimed = _claim(box, willing, actor, at)
    outcome.refused.update({str(one): "Somebody decided it meanwhile." for one in willing if one not in claimed})
    replays = [_replay_of(one, records[one.pk]) for one in claimed]
    written, failed = box.send(replays) if replays else ({}, {})
    for one in letters:
        offset = found.get(one.pk, written.get(str(one)))
        if offset is not None:
            DeadLetter.objects.filter(pk=one.pk, state=State.SENDING).update(state=State.REPLAYED, sent_offset=offset)
            outcome.done.append(one)
    outcome.refused.update({place: UNCERTAIN.format(why) for place, why in failed.items()})


def _sent(box: DeadLetterTopic, letter: DeadLetter) -> int | None:
    """Where the record is that somebody sent who did not live to tell."""
    if letter.state != State.SENDING:
        return None
    assert letter.decided_at is not None
    assert letter.sent_partition is not None
    assert letter.sent_offset is not None
    before_ms = milliseconds(letter.decided_at + IN_HAND)
    return box.find(str(letter), letter.sent_topic, letter.sent_partition, letter.sent_offset, before_ms)


def _claim(box: DeadLetterTopic, letters: Sequence[DeadLetter], actor: str, at: datetime) -> list[DeadLetter]:
    """The letters that are ours to send now, each with where it goes and from where on it will be there."""
    conf = settings()
    for letter in letters:
        letter.sent_topic = names.events(names.source_of(letter.topic) or "", conf.generation)
        letter.sent_partition = partition_of(letter.subject, conf.partitions)
    bounds = {topic: _existing(box, topic) for topic in {letter.sent_topic for letter in letters}}
    claimed = []
    with transaction.atomic():
        for letter in letters:
            letter.sent_offset = bounds[letter.sent_topic][letter.sent_partition or 0].stop
            unchanged = DeadLetter.objects.filter(pk=letter.pk, state=letter.state, decided_at=letter.decided_at)
            if unchanged.update(
                state=State.SENDING,
                decided_at=at,
                decided_by=actor[:150],
                sent_topic=letter.sent_topic,
                sent_partition=letter.sent_partition,
                sent_offset=letter.sent_offset,
            ):
                claimed.append(letter)
    return claimed


def _replay_of(letter: DeadLetter, record: Record) -> Replay:
    return Replay(str(letter), letter.sent_topic, letter.sent_partition or 0, record.key, record.value)


def discard(keys: Sequence[int], *, actor: str, reason: str, now: datetime | None = None) -> Outcome:
    """Settle letters, by primary key, without a replay, for a stated reason. Raises NoReason."""
    if not reason.strip() or not actor:
        raise NoReason("Say who discards the letters and why.")
    outcome, at = Outcome([], {}), now or database_now()
    for batch in batches(keys, ROWS):
        with transaction.atomic():
            letters = list(DeadLetter.objects.select_for_update().filter(pk__in=batch))
            done = [one for one in letters if one.state == State.OPEN]
            DeadLetter.objects.filter(pk__in=[one.pk for one in done]).update(
                state=State.DISCARDED, decided_at=at, decided_by=actor[:150], decided_reason=reason.strip()[:500]
            )
        outcome.done.extend(done)
        outcome.refused.update({str(one): _settled(one, at) or UNSETTLED for one in letters if one not in done})
    if outcome.done:
        log.info("dead letters discarded", actor=actor, letters=[str(one) for one in outcome.done])
    return outcome


def _settled(letter: DeadLetter, at: datetime) -> str | None:
    """Why nothing is to be decided about a letter any more, or just now."""
    match letter.state:
        case State.REPLAYED | State.DISCARDED:
            return f"{letter.decided_by} has {letter.state} it on {letter.decided_at:%Y-%m-%d %H:%M} UTC."
        case State.EXPIRED:
            return GONE
        case State.SENDING if letter.decided_at and letter.decided_at > at - IN_HAND:
            return f"{letter.decided_by} is replaying it. Wait a minute."
    return None


def expire(now: datetime | None = None) -> int:
    """Settle the letters whose records have aged out of Kafka; how many. Raises KafkaUnavailable."""
    expired = 0
    waiting = DeadLetter.objects.filter(WAITING)
    with dead_letter_topic.opened() as box:
        for generation in set(waiting.values_list("generation", flat=True)):
            for partition, there in box.bounds(names.dead_letters(generation)).items():
                gone = waiting.filter(generation=generation, partition=partition, letter_offset__lt=there.start)
                expired += gone.update(state=State.EXPIRED, decided_at=now or database_now())
    if expired:
        log.error("dead letters aged out undecided", letters=expired)
    return expired


def prune(now: datetime | None = None) -> int:
    """Forget what was settled 90 days ago; how many letters."""
    return DeadLetter.objects.filter(decided_at__lt=(now or database_now()) - KEEP).exclude(WAITING).delete()[0]
