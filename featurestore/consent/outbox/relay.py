"""Relay of the outbox: publishes changes that no service published after its commit, and sends their purges.

A change is published to the store first, and its purge is sent to the streams afterwards: the streams compare with the
permission in the store, so a purge sent before it would drop nothing. What fails is tried again, ever less often.
"""

import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

import structlog
from django.db.models import F

from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.consent.models import PENDING, JournalCheckpoint, PermissionChange
from featurestore.consent.outbox import purge_producer
from featurestore.consent.outbox.publication import publish
from featurestore.consent.outbox.purge_producer import Purge
from featurestore.customers.selectors import held_subjects

log = structlog.get_logger(__name__)

CHANGES_PER_BATCH = 500
MAX_BATCHES = 20  # of one call, so that a task stays short: the next one continues
RESERVATION_S = 60  # rows reserved by a relay that died are free again after this long
MAX_RETRY_DELAY_S = 300
RETENTION = timedelta(days=30)
KEPT_CHANGES = 100


class RelayResult(NamedTuple):
    """Counts of one call. ``failed`` rows are tried again later."""

    finished: int
    purged: int
    failed: int


def relay_due(now: datetime | None = None) -> RelayResult:
    """Publish every change that is due and send its purge. Any number of processes may do so at the same time.

    It stops at the first batch with a failure: while the store or Kafka is down, each would take its time limit.
    """
    total = RelayResult(0, 0, 0)
    for _ in range(MAX_BATCHES):
        rows = _reserve_due(now or database_now())
        if not rows:
            break
        total = RelayResult(*map(sum, zip(total, _finish(rows, now), strict=True)))
        if total.failed:
            break
    if total.failed:
        log.warning("changes not relayed yet", count=total.failed)
    return total


def _reserve_due(now: datetime) -> list[PermissionChange]:
    """Reserve rows that are due, by a conditional update: of two calls that select a row, one gets it."""
    call = uuid4().hex
    due = PermissionChange.objects.filter(PENDING, next_attempt_at__lte=now)
    keys = list(due.order_by("sequence").values_list("pk", flat=True)[:CHANGES_PER_BATCH])
    if not keys or not due.filter(pk__in=keys).update(
        reserved_by=call, next_attempt_at=now + timedelta(seconds=RESERVATION_S), attempts=F("attempts") + 1
    ):
        return []
    return list(PermissionChange.objects.filter(reserved_by=call).order_by("sequence"))


def _finish(rows: list[PermissionChange], now: datetime | None) -> RelayResult:
    effective = publish({row.subject for row in rows if row.published_at is None}, now)
    now = now or database_now()
    ready = [row for row in rows if row.published_at or row.subject in effective]
    unsent = [Purge(row.subject, row.sequence) for row in ready if row.purge and row.purge_sent_at is None]
    failed = purge_producer.purge_producer().send(unsent) if unsent else {}
    failures = {purge.sequence: reason for purge, reason in failed.items()}
    sent = {purge.sequence for purge in unsent} - failures.keys()
    PermissionChange.objects.filter(sequence__in=sent).update(purge_sent_at=now)
    finished = [row for row in ready if row.sequence not in failures]
    PermissionChange.objects.filter(pk__in=[row.pk for row in finished]).update(reserved_by="", last_error="")
    _reschedule([row for row in rows if row not in finished], failures, now)
    return RelayResult(len(finished), len(sent), len(rows) - len(finished))


def _reschedule(rows: Iterable[PermissionChange], failures: dict[int, str], now: datetime) -> None:
    for row in rows:
        fields: dict[str, object] = {"reserved_by": "", "next_attempt_at": now + retry_delay(row.attempts)}
        if row.sequence in failures:
            fields["last_error"] = failures[row.sequence][:300]
        PermissionChange.objects.filter(pk=row.pk).update(**fields)


def retry_delay(attempts: int) -> timedelta:
    """Delay after so many attempts: doubled each time, at most five minutes, less a random half of it."""
    longest_s = min(2.0 ** min(attempts - 1, 20), MAX_RETRY_DELAY_S)
    return timedelta(seconds=longest_s * random.uniform(0.5, 1))


def prune(now: datetime | None = None) -> int:
    """Delete the finished changes that were recorded 30 days ago or earlier; return their number.

    The newest changes stay, and so do those that the journal lacks or was not compared with yet: by them the store
    verifier knows that the database has lost none. So does what a legal hold keeps.
    """
    at = now or database_now()
    old = PermissionChange.objects.exclude(PENDING).filter(created_at__lt=at - RETENTION)
    old = old.exclude(subject__in=held_subjects("permission_changes", at))
    if settings().journal_topic:
        compared_at = JournalCheckpoint.objects.values_list("compared_at", flat=True).first()
        old = old.filter(journaled_at__lt=compared_at) if compared_at else old.none()
    newest = PermissionChange.objects.order_by("-sequence").values_list("sequence", flat=True)
    kept = newest[KEPT_CHANGES - 1 : KEPT_CHANGES].first()
    return old.filter(sequence__lt=kept).delete()[0] if kept else 0
