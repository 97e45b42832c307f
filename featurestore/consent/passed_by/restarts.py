"""Later starts of the grants of passed-by subjects, so that no answer claims the events that the streams skipped.

An entry of the topic covers what its writer skipped of its subject within REMEMBERED_S. While the store holds what it
held, the next publication of such a subject finds its permission missing: its grants start later (``late_grants.py``),
and a purge is sent. A store that was filled anew holds the permission again, and nothing shows. So before it is vouched
for, every grant that begins before the end of what an entry of its subject covers gets a later start, and so a purge.
A subject without a grant gets the purge alone: it may be the withdrawal's that was skipped.

An entry is removed when it covers nothing more and its subject was published in a store that is vouched for: had the
permission still been missing, its grants start later now. A subject that the database does not know has no grants.

What is kept between calls is where the first entry is that was not removed. To repeat a call does no harm, in any
process.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

import structlog
from django.db import DatabaseError, InterfaceError, close_old_connections, transaction

from featurestore.clock import database_now, milliseconds, moment
from featurestore.consent.change_sequence import load_change_sequence, lock_change_sequence
from featurestore.consent.late_grants import restart_counting, start_of
from featurestore.consent.models import CurrentPermission, SubjectVersion
from featurestore.consent.outbox.publication import publish
from featurestore.consent.passed_by.topic import GoesOn, PassedByTopic, TopicUnreadable, always
from featurestore.consent.subject_versions import write_versions
from featurestore.consent.vouching.latch import is_latched
from featurestore.consent.vouching.passed_by_subjects import PassedByUnavailable
from featurestore.jobs.batches import batches
from featurestore.passed_by import REMEMBERED_S, subject_of

log = structlog.get_logger(__name__)

STEP_S = 15
COVERED = timedelta(seconds=REMEMBERED_S + 5)
"""So long after an entry was appended, events that it covers may have been recorded, by clocks that differ a little."""
REMOVED_AFTER = 2 * COVERED
MAX_ENTRIES = 50_000
"""So many entries are held in memory at a time."""


class Entry(NamedTuple):
    """Place of an entry in the topic, and the time at which it was appended. ``subject`` None: its key is malformed."""

    offset: int
    at_ms: int
    subject: str | None


class Position(NamedTuple):
    """Offset in the topic of this id up to which every entry was removed; and the first keys that were not."""

    topic_id: str = ""
    offset: int = 0
    left: tuple[bytes, ...] = ()


class PassedByRestarts:
    """Treatment of the topic by one process. ``step`` is called in a thread of its own, ``restart_grants`` by node
    verifiers. Without a topic nothing is known, and nothing is done.
    """

    def __init__(self, topic: PassedByTopic | None):
        self.topic = topic
        self._position = Position()
        self._failure = ""

    def restart_grants(
        self, owns: Callable[[str], bool], goes_on: GoesOn = always, now: datetime | None = None
    ) -> bool:
        """As vouching.passed_by_subjects describes it."""
        if self.topic is None:
            return False
        restarted, start = 0, self._position.offset
        try:
            bounds = self.topic.bounds(goes_on)
            if bounds.stop < start:
                raise TopicUnreadable(f"{self.topic.name} was made anew; its entries will be written again")
            for entries in _open_entries(self.topic, range(max(bounds.start, start), bounds.stop), goes_on):
                for batch in batches(_covered_until(entries, owns).items()):
                    restarted += _restart(dict(batch), now)
        except TopicUnreadable as error:
            self._fail(str(error))
            raise PassedByUnavailable(str(error)) from None
        if restarted:
            log.warning("subjects were passed by before the store was emptied: grants start later", subjects=restarted)
        return restarted > 0

    def step(self, now: datetime | None = None) -> None:
        """Remove the entries that are settled. A failure is logged once and tried again."""
        if self.topic is None:
            return
        try:
            close_old_connections()
            if not is_latched(load_change_sequence()):
                self._remove_settled(self.topic, now)
        except TopicUnreadable as error:
            self._fail(str(error))
        except (DatabaseError, InterfaceError):
            self._fail("the database is unavailable")
        else:
            self._failure = ""

    def _remove_settled(self, topic: PassedByTopic, now: datetime | None) -> None:
        topic_id, offsets = self._look(topic)
        latest_ms = milliseconds((now or database_now()) - REMOVED_AFTER)
        left: dict[bytes, int] = {}
        for entries in _open_entries(topic, offsets):
            settled = _settled(entries, latest_ms, now)
            topic.remove(settled)
            rest = ((key, one.offset) for key, one in entries.items() if key not in settled)
            left.update(islice(rest, MAX_ENTRIES - len(left)))
        self._position = Position(topic_id, min(left.values(), default=offsets.stop), tuple(left))

    def _look(self, topic: PassedByTopic) -> tuple[str, range]:
        """The topic's id, and the offsets that may hold entries. What is known of one that was made anew since is
        written again."""
        known, topic_id, bounds = self._position, topic.topic_id(), topic.bounds()
        if topic_id == known.topic_id and known.offset <= bounds.stop:
            return topic_id, range(max(bounds.start, known.offset), bounds.stop)
        if known.topic_id or known.offset:
            log.error("the topic of passed-by subjects was deleted and made anew", entries=len(known.left))
        if known.left:
            topic.write(known.left)
            bounds = topic.bounds()
        return topic_id, bounds

    def _fail(self, why: str) -> None:
        if why != self._failure:
            log.warning("the topic of passed-by subjects can't be read or written", reason=why)
        self._failure = why


def _open_entries(topic: PassedByTopic, offsets: range, goes_on: GoesOn = always) -> Iterator[dict[bytes, Entry]]:
    """The entries at these offsets that are not removed, by key; some of them at a time."""
    entries: dict[bytes, Entry] = {}
    for record in topic.read(offsets, goes_on):
        if record.removed:
            entries.pop(record.key, None)
        else:
            entries[record.key] = Entry(record.offset, record.at_ms, subject_of(record.key))
        if len(entries) == MAX_ENTRIES:
            yield entries
            entries = {}
    if entries:
        yield entries


def _covered_until(entries: Mapping[bytes, Entry], owns: Callable[[str], bool]) -> dict[str, datetime]:
    """The subjects of entries, of those that a node owns, and until when events of theirs may be covered."""
    found: dict[str, datetime] = {}
    for entry in entries.values():
        if entry.subject and owns(entry.subject):
            until = moment(entry.at_ms) + COVERED
            found[entry.subject] = max(until, found.get(entry.subject, until))
    return found


def _restart(covered_until: Mapping[str, datetime], now: datetime | None) -> int:
    """Start grants later that begin before such a time; the number of subjects that got a new version."""
    rows = CurrentPermission.objects.filter(customer__subject__in=covered_until, allowed=True).select_related(
        "customer"
    )
    starts = [(row.customer.subject, start_of(row)) for row in rows]
    early = {subject for subject, start in starts if start <= covered_until[subject]}
    restarted = restart_counting(early, early, now) if early else set()
    known = set(SubjectVersion.objects.filter(subject__in=covered_until).values_list("subject", flat=True))
    if denied := known.difference(subject for subject, _ in starts):
        with transaction.atomic(durable=True):
            write_versions(lock_change_sequence(now), denied)
    return len(restarted) + len(denied)


def _settled(entries: Mapping[bytes, Entry], latest_ms: int, now: datetime | None) -> set[bytes]:
    """The keys of entries to remove: of those appended by a time, whose subject is published now, or is unknown."""
    malformed = {key for key, entry in entries.items() if entry.subject is None}
    if malformed:
        log.error("the topic of passed-by subjects held what no stream worker writes", keys=len(malformed))
    settled = set(malformed)
    for batch in batches((key, entry.subject) for key, entry in entries.items() if entry.at_ms <= latest_ms):
        subjects = {subject for _, subject in batch if subject}
        known = set(SubjectVersion.objects.filter(subject__in=subjects).values_list("subject", flat=True))
        done = subjects - known | (publish(known, now) if known else set())
        settled.update(key for key, subject in batch if subject in done)
    return settled
