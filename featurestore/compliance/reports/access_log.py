"""Access log by client, purpose and month: how many reads, of how many customers."""

from collections.abc import Iterator
from datetime import UTC, timedelta

from django.db.models import Count, Max
from django.db.models.functions import TruncMonth

from featurestore.accesslog.models import AccessRecord
from featurestore.accesslog.selectors import gaps
from featurestore.clock import database_now
from featurestore.compliance.report import PAGE, Column, ColumnType, Period, Report, Row
from featurestore.config import settings

COLUMNS = (
    Column("month", ColumnType.TEXT, "month of the reads, in UTC"),
    Column("client", ColumnType.TEXT, "who read"),
    Column("purpose", ColumnType.TEXT, "the purpose that it named"),
    Column("service", ColumnType.TEXT, "the feature service that it read"),
    Column("reads", ColumnType.INTEGER, "reads of one customer each, given or withheld"),
    Column("customers", ColumnType.INTEGER, "different customers among them, by subject"),
    Column("last_read_at", ColumnType.TIME, "the last of these reads"),
)


def _rows(period: Period) -> Iterator[Row]:
    found = (
        AccessRecord.objects.filter(period.of("at"))
        .annotate(month=TruncMonth("at", tzinfo=UTC))
        .values_list("month", "context__client", "context__purpose", "context__service")
        .annotate(Count("pk"), Count("subject", distinct=True), Max("at"))
        .order_by("month", "context__client", "context__purpose", "context__service")
    )
    for month, *told in found.iterator(PAGE):
        yield (month.strftime("%Y-%m"), *told)


def completeness(period: Period) -> list[str]:
    """What is known to be missing from the access records of a period."""
    notes = []
    kept_since = database_now() - timedelta(days=settings().access_record_days)
    if period.since is None or period.since < kept_since:
        notes.append(f"Access records from before {kept_since:%Y-%m-%d} were deleted by retention.")
    if missing := gaps(period.since or kept_since, period.until).count():
        notes.append(f"Records are missing: {missing} gaps of the access log overlap the period.")
    return notes


ACCESS_LOG = Report(
    "access-log",
    "Access log by client and purpose",
    "None: counts. A count of one can be a person's.",
    COLUMNS,
    _rows,
    completeness,
)
