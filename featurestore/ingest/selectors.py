"""Queries of dead letters."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, IntegerField, Max, Min, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from featurestore import names
from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.definitions.masking import MaskedField, mask_event
from featurestore.ingest import dead_letter_topic
from featurestore.ingest.dead_letter_records import RECORD_EXPIRED, digest, source_of
from featurestore.ingest.dead_letter_topic import DeadLetterTopic, TopicRecord
from featurestore.ingest.errors import RecordExpired, UnknownDeadLetter
from featurestore.ingest.models import DeadLetter, DeadLetterPosition

WAITING = Q(state__in=[DeadLetter.State.OPEN, DeadLetter.State.SENDING])
"""Dead letters without a final decision."""
UNREAD_AFTER = timedelta(minutes=5)
RECORD_ID = re.compile(r"([\w.-]{1,249})/(\d{1,9})/(\d{1,18})", re.ASCII)


class QuarantineStatus(NamedTuple):
    """How many dead letters wait, since when the oldest does, and when the topic was last read to its end."""

    waiting: int
    oldest_at: datetime | None
    read_at: datetime | None


def quarantine_status() -> QuarantineStatus:
    found = DeadLetter.objects.filter(WAITING).aggregate(waiting=Count("pk"), oldest_at=Min("quarantined_at"))
    return QuarantineStatus(**found, read_at=read_at())


def read_at() -> datetime | None:
    """When the current generation's topic of dead letters was last read to its end. None: never."""
    positions = DeadLetterPosition.objects.filter(generation=settings().generation)
    return positions.aggregate(at=Min("read_at"))["at"]


def unread(at: datetime | None) -> bool:
    """Whether ``read_at`` is so long ago that no Celery worker can be reading the topic."""
    return at is None or database_now() - at > UNREAD_AFTER


class Group(NamedTuple):
    """Dead letters of one topic and reason. ``example`` is the detail of one of them."""

    topic: str
    reason: str
    size: int
    oldest: datetime
    newest: datetime
    example: str


def groups(dead_letters: QuerySet[DeadLetter]) -> list[Group]:
    """Dead letters by topic and reason, the largest group first."""
    found = (
        dead_letters.order_by()
        .values_list("topic", "reason")
        .annotate(Count("pk"), Min("quarantined_at"), Max("quarantined_at"), Max("detail"))
    )
    return sorted((Group(*row) for row in found), key=lambda group: (-group.size, group.topic, group.reason))


def with_tries(dead_letters: QuerySet[Any]) -> QuerySet[Any]:
    """Dead letters with ``tries``: how often the same bytes were replayed before they were quarantined this time."""
    same = DeadLetter.objects.filter(
        sha256=OuterRef("sha256"), state=DeadLetter.State.REPLAYED, decided_at__lte=OuterRef("quarantined_at")
    )
    counted = same.order_by().values("sha256").annotate(number=Count("pk")).values("number")
    return dead_letters.annotate(tries=Coalesce(Subquery(counted, output_field=IntegerField()), 0))


def find_dead_letter(record_id: str) -> Any:
    """The dead letter, with ``tries``, of the record TOPIC/PARTITION/OFFSET. Raises UnknownDeadLetter."""
    if found := RECORD_ID.fullmatch(record_id):
        topic, partition, offset = found.groups()
        dead_letters = with_tries(DeadLetter.objects.filter(topic=topic, partition=int(partition), offset=int(offset)))
        if (dead_letter := dead_letters.first()) is not None:
            return dead_letter
    raise UnknownDeadLetter(
        f"No record {record_id} was quarantined. `manage.py deadletters list` names those that were."
    )


def content(dead_letter: DeadLetter) -> list[MaskedField]:
    """The record's fields, personal ones masked; none if it is no event. Raises KafkaUnavailable, RecordExpired."""
    with dead_letter_topic.connect() as kafka:
        record = records_of(kafka, [dead_letter]).get(dead_letter.pk)
    if record is None:
        raise RecordExpired(RECORD_EXPIRED)
    source = source_of(dead_letter)
    return mask_event(source, record.value) if source else []


def records_of(kafka: DeadLetterTopic, dead_letters: Sequence[DeadLetter]) -> dict[int, TopicRecord]:
    """The records of dead letters by primary key; without those that Kafka no longer has. Raises KafkaUnavailable."""
    found: dict[int, TopicRecord] = {}
    for generation in {one.generation for one in dead_letters}:
        own = {(one.partition, one.dead_letter_offset): one for one in dead_letters if one.generation == generation}
        for position, record in kafka.records(names.dead_letters(generation), own.keys()).items():
            if digest(record.value) == own[position].sha256:  # not so where the topic was made anew
                found[own[position].pk] = record
    return found


def age(at: datetime | None, now: datetime | None = None) -> timedelta:
    """The time since ``at`` in whole seconds; zero without one."""
    return timedelta(seconds=round(((now or database_now()) - at).total_seconds())) if at else timedelta()
