"""Appender of the consent journal: brings the outbox's rows to the topic, in order, after their commit.

The store verifier's process calls it five times a second, in a thread of its own. While that process is away, reads are
denied, and Celery's relay appends what waits. No answer waits for the journal.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

import structlog
from django.db.models.functions import Now

from featurestore.clock import database_now, milliseconds
from featurestore.consent.change_sequence import load_change_sequence
from featurestore.consent.change_writer import state_of_row
from featurestore.consent.journal.records import Evidence, JournaledState, JournalRecord
from featurestore.consent.journal.topic import Journal
from featurestore.consent.models import ConsentRecord, CurrentPermission, PermissionChange

log = structlog.get_logger(__name__)

CHANGES_PER_BATCH = 500


def append_due(journal: Journal, waiting: timedelta = timedelta()) -> int:
    """Append every change that the journal lacks and that waits for so long; return the number of those acknowledged.

    It stops at the first failure, and the next call repeats what failed. Two processes may append the same change.
    """
    count = 0
    rows = PermissionChange.objects.filter(journaled_at=None).order_by("sequence")
    if waiting:
        rows = rows.filter(created_at__lte=database_now() - waiting)
    while batch := list(rows[:CHANGES_PER_BATCH]):
        failures = journal.append(records_of(batch))
        done = [row.pk for row in batch if row.token not in failures]
        PermissionChange.objects.filter(pk__in=done).update(journaled_at=Now())
        count += len(done)
        if failures:
            log.warning("changes not journaled yet", count=len(failures), reason=next(iter(failures.values())))
            break
    return count


def records_of(changes: Sequence[PermissionChange]) -> list[JournalRecord]:
    """The journal's records of changes, with the subjects' states as they are now: of these changes, or later ones."""
    epoch = load_change_sequence().epoch
    evidence: defaultdict[int, list[Evidence]] = defaultdict(list)
    for record in ConsentRecord.objects.filter(sequence__in=[change.sequence for change in changes]).select_related(
        "purpose", "notice"
    ):
        evidence[record.sequence].append(_evidence_of(record))
    states: defaultdict[str, dict[str, JournaledState]] = defaultdict(dict)
    subjects = {change.subject for change in changes}
    for row in CurrentPermission.objects.filter(customer__subject__in=subjects).select_related("customer", "purpose"):
        states[row.customer.subject][row.purpose.name] = JournaledState(**state_of_row(row)._asdict())
    return [
        JournalRecord(
            kind=change.kind,
            token=change.token,
            epoch=epoch,
            sequence=change.sequence,
            at_ms=milliseconds(change.created_at),
            subject=change.subject,
            states=states[change.subject] if change.kind == PermissionChange.Kind.CHANGE else {},
            evidence=evidence[change.sequence],
            suppression=change.suppression,
        )
        for change in changes
    ]


def _evidence_of(record: ConsentRecord) -> Evidence:
    return Evidence(
        purpose=record.purpose.name,
        decision=record.decision,
        at_ms=milliseconds(record.at),
        since_ms=milliseconds(record.since),
        until_ms=milliseconds(record.until) if record.until else 0,
        method=record.method,
        actor=record.actor,
        notice=record.notice.reference if record.notice else "",
        decided_ms=milliseconds(record.decided_at),
        superseded=record.superseded,
    )
