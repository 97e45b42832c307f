"""Waiting: an export that cannot go on now says for what it waits, and is tried again by itself."""

from datetime import datetime, timedelta

import structlog

from featurestore.clock import database_now
from featurestore.requests.export.models import DataExport
from featurestore.requests.export.states import IN_WORK

FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(minutes=10)
MAX_PROBLEM = 300
SPACE = "space in the export folder"
log = structlog.get_logger(__name__)


def wait(export: DataExport, what: str, problem: str, now: datetime | None) -> None:
    """Record what an export waits for, and when it is tried again."""
    at = now or database_now()
    delay = min(FIRST_WAIT * 2 ** min(export.attempts, 10), LONGEST_WAIT)
    DataExport.objects.filter(pk=export.pk, state__in=IN_WORK).update(
        waiting_for=what[:100],
        waiting_since=export.waiting_since or at,
        attempts=export.attempts + 1,
        next_attempt_at=at + delay,
        problem=problem[:MAX_PROBLEM],
    )
    log.warning("export waits", export=export.pk, waiting_for=what, problem=problem)
