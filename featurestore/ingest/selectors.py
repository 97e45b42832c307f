"""The readers of dead letters."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, IntegerField, Max, Min, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from featurestore import names
from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.definitions.masking import Shown, masked
from featurestore.ingest import dead_letter_topic
from featurestore.ingest.errors import Gone, UnknownDeadLetter
from featurestore.ingest.dead_letter_topic import DeadLetterTopic, Record
from featurestore.ingest.dead_letter_records import GONE, digest, source_of
from featurestore.ingest.models import DeadLetter, DeadLetterPosition

WAITING = Q(state__in=[DeadLetter.State.OPEN, DeadLetter.State.SENDING])
"""Letters that nobody has settled."""
UNREAD_AFTER = timedelta(minutes=5)
PLACE = re.compile(r"([\w.-]{1,249})/(\d{1,9})/(\d{1,18})", re.ASCII)


class Standing(NamedTuple):
    """How many letters wait, since when the oldest does, and when all of them were last read from Kafka."""

    waiting: int
    oldest_at: datetime | None
    read_at: datetime | None


def standing() -> Standing:
    found = DeadLetter.objects.filter(WAITING).aggregate(waiting=Count("pk"), oldest_at=Min("put_at"))
    return Standing(**found, read_at=read_at())


def read_at() -> datetime | None:
    """When the current generation's letters were last read to their end. None: never."""
    positions = DeadLetterPosition.objects.filter(generation=settings().generation)
    return positions.aggregate(at=Min("read_at"))["at"]


def unread(at: datetime | None) -> bool:
    """Whether ``read_at`` is so long ago that nobody can be reading them."""
    return at is None or database_now() - at > UNREAD_AFTER


class Group(NamedTuple):
    """Letters of one topic and reason. ``such_as`` is the detail of one of them."""

    topic: str
    reason: str
    letters: int
    oldest: datetime
    newest: datetime
    such_as: str


def groups(letters: QuerySet[DeadLetter]) -> list[Group]:
    """Letters by topic and reason, the most first."""
    found = (
        letters.order_by()
        .values_list("topic", "reason")
        .annotate(Count("pk"), Min("put_at"), Max("put_at"), Max("detail"))
    )
    return sorted((Group(*row) for row in found), key=lambda group: (-group.letters, group.topic, group.reason))


def with_tries(letters: QuerySet[Any]) -> QuerySet[Any]:
    """Each with ``tries``: how often the same bytes were replayed, and came back if this letter is a later one."""
    same = DeadLetter.objects.filter(
        sha256=OuterRef("sha256"), state=DeadLetter.State.REPLAYED, decided_at__lte=OuterRef("put_at")
    )
    counted = same.order_by().values("sha256").annotate(number=Count("pk")).values("number")
    return letters.annotate(tries=Coalesce(Subquery(counted, output_field=IntegerField()), 0))


def find_dead_letter(place: str) -> Any:
    """The letter, with ``tries``, of the record at TOPIC/PARTITION/OFFSET. Raises UnknownDeadLetter."""
    if found := PLACE.fullmatch(place):
        topic, partition, offset = found.groups()
        letters = with_tries(DeadLetter.objects.filter(topic=topic, partition=int(partition), offset=int(offset)))
        if (letter := letters.first()) is not None:
            return letter
    raise UnknownDeadLetter(f"No record at {place} was put aside. `manage.py deadletters list` names those that were.")


def content(letter: DeadLetter) -> list[Shown]:
    """What may be seen of the record. Empty where its bytes say nothing. Raises KafkaUnavailable, Gone."""
    with dead_letter_topic.opened() as box:
        record = records_of(box, [letter]).get(letter.pk)
    if record is None:
        raise Gone(GONE)
    source = source_of(letter)
    return masked(source, record.value) if source else []


def records_of(box: DeadLetterTopic, letters: Sequence[DeadLetter]) -> dict[int, Record]:
    """The records of letters by primary key; without those that Kafka no longer has. Raises KafkaUnavailable."""
    found: dict[int, Record] = {}
    for generation in {letter.generation for letter in letters}:
        own = {(one.partition, one.dead_letter_offset): one for one in letters if one.generation == generation}
        for place, record in box.records(names.dead_letters(generation), own.keys()).items():
            if digest(record.value) == own[place].sha256:  # not so where the topic was made anew
                found[own[place].pk] = record
    return found


def since(at: datetime | None, now: datetime | None = None) -> timedelta:
    """How long ago that was, in whole seconds; nothing for what never was."""
    return timedelta(seconds=round(((now or database_now()) - at).total_seconds())) if at else timedelta()
