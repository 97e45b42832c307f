"""Expiry of grants: their time is over, or their purpose was retired."""

from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import Q, QuerySet

from featurestore.clock import database_now, milliseconds
from featurestore.consent.change_sequence import lock_change_sequence
from featurestore.consent.change_writer import ChangeWriter
from featurestore.consent.models import CurrentPermission
from featurestore.consent.outbox.publication import publish
from featurestore.jobs.batches import BATCH_SIZE

log = structlog.get_logger(__name__)


def expire_due(now: datetime | None = None, batches: int | None = None) -> int:
    """Record the end of every grant that is over; return their number. Reads denied them since their time was over.

    ``batches``: end at most so many thousands, where a caller waits; the Celery task ends the others.
    """
    count = done = 0
    while done != batches and (subjects := _expire_batch(now)):
        publish(subjects, now)
        count, done = count + len(subjects), done + 1
    if count:
        log.info("permissions expired", count=count)
    return count


def _expire_batch(now: datetime | None) -> list[str]:
    if not _due(now or database_now()).exists():  # without the lock: mostly nothing is due
        return []
    with transaction.atomic(durable=True):
        writer = ChangeWriter(lock_change_sequence(now))
        rows = list(_due(writer.change_sequence.at).select_related("customer", "purpose").order_by("pk")[:BATCH_SIZE])
        writer.load_states([row.customer for row in rows])
        for row in rows:
            over = row.until is not None and row.until <= writer.change_sequence.at
            ended_at = row.until if over and row.until else writer.change_sequence.at
            reason = "the grant expired" if over else "the purpose was retired"
            writer.add_expiry(row.customer, row.purpose, milliseconds(ended_at), reason)
        writer.write()
    return [row.customer.subject for row in rows]


def _due(now: datetime) -> QuerySet[CurrentPermission]:
    over = Q(until__lte=now) | Q(purpose__active=False)
    return CurrentPermission.objects.filter(over, allowed=True, paused=False)  # a paused one ends when it is lifted
