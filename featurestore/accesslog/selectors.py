"""Readers of the access log: its gaps, and the state of its stream."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Count, QuerySet

from featurestore.accesslog.models import AccessGap, AccessRecord, WriterProcess
from featurestore.accesslog.stream import STATUS_TIMEOUT_S, StreamState, StreamUnavailable, open_stream
from featurestore.clock import database_now
from featurestore.config import settings

DAY = timedelta(days=1)
LATE_S = 60.0
"""Age of the oldest stream entry beyond which records are not being written."""


class Reads(NamedTuple):
    """Access records of a customer, the newest first. ``complete``: every read of the time is among them."""

    records: list[AccessRecord]
    complete: bool


def reads_of(
    subject: str, since: datetime, until: datetime, purposes: Collection[str], limit: int, client: str = ""
) -> Reads:
    """The reads of a subject within a time, for these purposes, at most so many; by one client, if it is named.

    They are not complete if there are more, if records of the time are missing or not stored yet, or if retention has
    deleted them.
    """
    found = AccessRecord.objects.filter(
        subject=subject, at__gte=since, at__lte=until, context__purpose__in=purposes
    ).select_related("context")
    if client:
        found = found.filter(context__client=client)
    records = list(found.order_by("-at", "-pk")[: limit + 1])
    kept = since >= database_now() - timedelta(days=settings().access_record_days)
    unstored = WriterProcess.objects.filter(state=WriterProcess.State.RUNNING, complete_until__lt=until)
    complete = len(records) <= limit and kept and not gaps(since, until).exists() and not unstored.exists()
    return Reads(records[:limit], complete)


def gaps(since: datetime, until: datetime | None = None) -> QuerySet[AccessGap]:
    """Gaps that overlap a time, the latest first."""
    found = AccessGap.objects.filter(until__gte=since).select_related("process")
    return found.filter(since__lte=until) if until else found


def gaps_by_reason(since: datetime) -> dict[str, int]:
    """Number of gaps since a time, by reason."""
    counted = gaps(since).order_by().values_list("reason").annotate(Count("pk"))
    return dict.fromkeys(AccessGap.Reason.values, 0) | dict(counted)


def stream_state() -> StreamState | None:
    """The state of this installation's stream; None if the control Redis does not answer."""
    try:
        with open_stream(STATUS_TIMEOUT_S) as stream:
            return stream.state()
    except StreamUnavailable:
        return None
