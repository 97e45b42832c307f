"""Readers of consent: a customer's records and permissions, the store's status, figures of the first admin page."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from django.db.models import Count, DurationField, ExpressionWrapper, F, Max, Min, OuterRef, QuerySet, Subquery
from django.db.models.functions import TruncDate
from django.utils.timezone import localdate

from featurestore.clock import database_now
from featurestore.config import settings
from featurestore.consent.models import PENDING, ChangeSequence, ConsentRecord, CurrentPermission, PermissionChange
from featurestore.consent.permission_derivation import Decision
from featurestore.permission import Permission
from featurestore.store import configured
from featurestore.store.protocol import StoreUnavailable

FIRST_CHANGES = 100
"""Oldest changes, of which one was the first to be in the store."""


class DailyDecisions(NamedTuple):
    """Numbers of decisions on one day (UTC)."""

    day: date
    given: int
    withdrawn: int
    expired: int
    paused: int
    lifted: int


class PropagationDelay(NamedTuple):
    """Time of changes from their recording until they were in effect: number of changes, median and 99 %."""

    changes: int
    p50_ms: float | None
    p99_ms: float | None


class OutboxBacklog(NamedTuple):
    """Numbers of unpublished changes and unsent purges, and the age of the oldest of both."""

    unpublished: int
    unsent_purges: int
    oldest_s: float


class OpenPauses(NamedTuple):
    """Number of customers with a paused purpose, and when the oldest of the pauses was recorded."""

    customers: int
    oldest: datetime | None


class StoreStatus(StrEnum):
    """Whether the store is vouched for. The subjects of a node that is not are denied."""

    VOUCHED = "vouched"
    PARTLY = "partly"  # some of its nodes
    UNVOUCHED = "unvouched"
    UNAVAILABLE = "unavailable"
    LATCHED = "latched"  # the database has lost commits


def permissions_in_store(subjects: Sequence[str] = ()) -> tuple[StoreStatus, list[Permission | None]]:
    """The status of the store (of the subjects' nodes, if there are any) and the permissions that it holds of them."""
    try:
        reading = configured.store().read(subjects, [], [], settings().store_timeout_ms)
    except StoreUnavailable:
        return StoreStatus.UNAVAILABLE, [None] * len(subjects)
    vouched = [bool(node.incarnation) for node in ([one.node for one in reading.subjects] or reading.nodes)]
    if all(vouched):
        status = StoreStatus.VOUCHED
    elif ChangeSequence.objects.filter(latched_at__isnull=False).exists():
        status = StoreStatus.LATCHED
    else:
        status = StoreStatus.PARTLY if any(vouched) else StoreStatus.UNVOUCHED
    return status, [stored.permission for stored in reading.subjects]


def latch_reason() -> str:
    """Why the database is latched; "" if it is not."""
    return ChangeSequence.objects.values_list("latch_reason", flat=True).first() or ""


def timeline(customer_id: str) -> QuerySet[ConsentRecord]:
    """A customer's consent records, the newest first."""
    return ConsentRecord.objects.filter(customer__customer_id=customer_id).select_related("purpose", "notice")


def last_records(customer_id: str) -> QuerySet[ConsentRecord]:
    """A customer's last consent record of each purpose that has one, without those that changed nothing."""
    records = ConsentRecord.objects.filter(customer__customer_id=customer_id, superseded=False).order_by()
    return timeline(customer_id).filter(
        sequence__in=records.values("purpose").annotate(last=Max("sequence")).values("last")
    )


def current_permissions(customer_id: str) -> QuerySet[CurrentPermission]:
    """A customer's current permissions, by purpose. A purpose without a row was never decided on: denied."""
    rows = CurrentPermission.objects.filter(customer__customer_id=customer_id)
    return rows.select_related("purpose").order_by("purpose__name")


def decisions_by_day(days: int = 30, now: datetime | None = None) -> list[DailyDecisions]:
    """One row a day, the oldest first and today last; days without a decision too. Days of the current time zone."""
    today = localdate(now or database_now())
    first = today - timedelta(days=days - 1)
    rows = ConsentRecord.objects.filter(at__date__gte=first).order_by()
    counts = {
        (row["day"], row["decision"]): row["count"]
        for row in rows.annotate(day=TruncDate("at")).values("day", "decision").annotate(count=Count("pk"))
    }
    each = (first + timedelta(days=n) for n in range(days))
    return [DailyDecisions(day, *(counts.get((day, decision), 0) for decision in Decision)) for day in each]


def propagation_delay(now: datetime | None = None) -> PropagationDelay:
    """The delay of the changes of the last day, without those that were recorded before the store was first up: before
    the first publication, which is one of the oldest changes'. A later time without the store counts.
    """
    since = (now or database_now()) - timedelta(days=1)
    oldest = PermissionChange.objects.exclude(published_at=None).order_by("sequence")
    publications = oldest.values_list("published_at", flat=True)[:FIRST_CHANGES]
    first = min((at for at in publications if at), default=None)
    delays = (
        PermissionChange.objects.filter(created_at__gte=max(since, first or since), published_at__isnull=False)
        .annotate(delay=ExpressionWrapper(F("published_at") - F("created_at"), output_field=DurationField()))
        .order_by("delay")
        .values_list("delay", flat=True)
    )
    count = delays.count()
    if not count:
        return PropagationDelay(0, None, None)
    p50, p99 = (delays[int((count - 1) * share)].total_seconds() * 1000 for share in (0.5, 0.99))
    return PropagationDelay(count, p50, p99)


def open_pauses() -> OpenPauses:
    """The pauses that are not lifted."""
    begins = ConsentRecord.objects.filter(
        customer=OuterRef("customer"), purpose=OuterRef("purpose"), decision=Decision.PAUSED
    )
    paused = CurrentPermission.objects.filter(paused=True).annotate(
        paused_at=Subquery(begins.order_by("-sequence").values("at")[:1])
    )
    return OpenPauses(*paused.aggregate(n=Count("customer", distinct=True), at=Min("paused_at")).values())


def outbox_backlog(now: datetime | None = None) -> OutboxBacklog:
    """The backlog of the outbox."""
    waiting = PermissionChange.objects.filter(PENDING)
    oldest = waiting.order_by("created_at").values_list("created_at", flat=True).first()
    age = (now or database_now()) - oldest if oldest else timedelta()
    unpublished = waiting.filter(published_at=None).count()
    return OutboxBacklog(
        unpublished, waiting.filter(purge=True, purge_sent_at=None).count(), max(age.total_seconds(), 0.0)
    )
