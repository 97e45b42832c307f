"""The relay: what a service could not finish after its commit is finished here, as often as it takes.

A change is put into the store first; then, where it takes something away, the streams are told. They look at the
permission in the store, so a purge that came before it would drop nothing.
"""

import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

import structlog
from django.db.models import F

from featurestore.clock import database_now
from featurestore.consent.models import PENDING, PermissionChange
from featurestore.consent.outbox import purges
from featurestore.consent.outbox.publication import publish
from featurestore.consent.outbox.purges import Purge

log = structlog.get_logger(__name__)

BATCH = 500
BATCHES = 20  # of one call: the next beat goes on, and a task stays short
CLAIM_S = 60  # a relay that dies leaves its rows to others after this long
BACKOFF_MAX_S = 300
KEEP = timedelta(days=30)


class Relayed(NamedTuple):
    """What one call did. ``failed`` rows are tried again later."""

    finished: int
    purged: int
    failed: int


def relay_due(now: datetime | None = None) -> Relayed:
    """Finish every change that is due. Any number of processes may do so at the same time."""
    total = Relayed(0, 0, 0)
    for _ in range(BATCHES):
        rows = _claim(now or database_now())
        if not rows:
            break
        total = Relayed(*map(sum, zip(total, _finish(rows, now or database_now()), strict=True)))
    if total.failed:
        log.warning("changes left for later", count=total.failed)
    return total


def _claim(now: datetime) -> list[PermissionChange]:
    """Take rows that are due by a conditional update: of two that want a row, one gets it."""
    claim = uuid4().hex
    due = PermissionChange.objects.filter(PENDING, next_attempt_at__lte=now)
    keys = list(due.order_by("sequence").values_list("pk", flat=True)[:BATCH])
    if not keys or not due.filter(pk__in=keys).update(
        claim=claim, next_attempt_at=now + timedelta(seconds=CLAIM_S), attempts=F("attempts") + 1
    ):
        return []
    return list(PermissionChange.objects.filter(claim=claim).order_by("sequence"))


def _finish(rows: list[PermissionChange], now: datetime) -> Relayed:
    in_effect = publish({row.subject for row in rows if row.published_at is None}, now)
    ready = [row for row in rows if row.published_at or row.subject in in_effect]
    waiting = [Purge(row.subject, row.sequence) for row in ready if row.purge and row.purge_sent_at is None]
    failures = purges.purges().send(waiting) if waiting else {}
    sent = {purge.sequence for purge in waiting} - failures.keys()
    PermissionChange.objects.filter(sequence__in=sent).update(purge_sent_at=now)
    finished = [row for row in ready if row.sequence not in failures]
    PermissionChange.objects.filter(pk__in=[row.pk for row in finished]).update(claim="", last_error="")
    _put_off([row for row in rows if row not in finished], failures, now)
    return Relayed(len(finished), len(sent), len(rows) - len(finished))


def _put_off(rows: Iterable[PermissionChange], failures: dict[int, str], now: datetime) -> None:
    for row in rows:
        fields: dict[str, object] = {"claim": "", "next_attempt_at": now + backoff(row.attempts)}
        if row.sequence in failures:
            fields["last_error"] = failures[row.sequence][:300]
        PermissionChange.objects.filter(pk=row.pk).update(**fields)


def backoff(attempts: int) -> timedelta:
    """How long to wait after so many attempts: doubled each time, at most five minutes, a random half of it off."""
    longest_s = min(2.0 ** min(attempts - 1, 20), BACKOFF_MAX_S)
    return timedelta(seconds=longest_s * random.uniform(0.5, 1))


def prune(now: datetime | None = None) -> int:
    """Forget changes that took effect 30 days ago; how many."""
    old = PermissionChange.objects.exclude(PENDING).filter(created_at__lt=(now or database_now()) - KEEP)
    return old.delete()[0]
