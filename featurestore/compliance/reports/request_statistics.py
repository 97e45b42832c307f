"""Request statistics: subject requests by regime, month of receipt and type, with what became of them.

A month is one of the regime's time zone, as its deadlines are. Memory holds one count for each number of days, and no
request: a million requests of a month take as much as a thousand.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from featurestore.clock import database_now
from featurestore.compliance.report import Column, ColumnType, Period, Report, Row, keyset_pages
from featurestore.requests.models import SubjectRequest
from featurestore.requests.states import ENDED, State

COLUMNS = (
    Column("regime", ColumnType.TEXT, "data protection law"),
    Column("month", ColumnType.TEXT, "month of receipt, in the regime's time zone"),
    Column("type", ColumnType.TEXT, "what was asked for"),
    Column("received", ColumnType.INTEGER, "requests received in the month"),
    Column("answered", ColumnType.INTEGER, "of these, the answered ones"),
    Column("refused", ColumnType.INTEGER, "of these, the refused ones"),
    Column("withdrawn", ColumnType.INTEGER, "of these, the ones that the customer withdrew"),
    Column("duplicates", ColumnType.INTEGER, "of these, the ones that another request proceeds for"),
    Column("lapsed", ColumnType.INTEGER, "of these, the ones whose customer never proved who they are"),
    Column("open", ColumnType.INTEGER, "of these, the ones without an outcome at the time of the export"),
    Column("extended", ColumnType.INTEGER, "of these, the ones whose time to answer was extended"),
    Column("overdue", ColumnType.INTEGER, "of these, the ones answered or refused too late, or open past their time"),
    Column("median_days", ColumnType.NUMBER, "median of whole days from receipt to answer or refusal"),
    Column("longest_days", ColumnType.INTEGER, "most whole days from receipt to answer or refusal"),
)


@dataclass
class Figures:
    """Counts of one regime, month and type."""

    counts: Counter[str] = field(default_factory=Counter)
    days: Counter[int] = field(default_factory=Counter)

    def add(self, request: SubjectRequest, now: datetime) -> None:
        """Count a request."""
        outcome = outcome_of(request)
        self.counts.update(("received", outcome))
        self.counts["extended"] += request.extended_at is not None
        decided_at = request.answered_at or (request.ended_at if outcome == "refused" else None)
        if decided_at is not None:
            self.days[(decided_at - request.received_at).days] += 1
            self.counts["overdue"] += decided_at >= request.due_at
        elif outcome == "open":
            self.counts["overdue"] += request.paused_at is None and now >= request.due_at

    def row(self) -> Row:
        """The counts in the order of the columns."""
        names = [column.name for column in COLUMNS[3:12]]
        return (*(self.counts[name] for name in names), median(self.days), max(self.days, default=None))


def outcome_of(request: SubjectRequest) -> str:
    """What became of a request, by the name of a column."""
    if request.answered_at is not None:
        return "answered"
    if request.state not in ENDED:
        return "open"
    if request.state == State.CLOSED:
        return "answered"
    return "duplicates" if request.state == State.DUPLICATE else request.state


def median(days: Counter[int]) -> float | None:
    """The median of numbers that are given with how often each occurs; None of none.

    >>> median(Counter({1: 2, 4: 2})), median(Counter({1: 1, 9: 2})), median(Counter())
    (2.5, 9.0, None)
    """
    if not (total := days.total()):
        return None
    lower = upper = None
    seen = 0
    for value in sorted(days):
        seen += days[value]
        if lower is None and seen >= (total + 1) // 2:
            lower = value
        if seen >= total // 2 + 1:
            upper = value
            break
    assert lower is not None
    assert upper is not None
    return (lower + upper) / 2


def _rows(period: Period) -> Iterator[Row]:
    now, found = database_now(), dict[tuple[str, str, str], Figures]()
    for request in keyset_pages(SubjectRequest.objects.filter(period.of("received_at")).select_related("regime")):
        month = request.received_at.astimezone(ZoneInfo(request.regime.time_zone)).strftime("%Y-%m")
        found.setdefault((request.regime.name, month, request.type), Figures()).add(request, now)
    for key, figures in sorted(found.items()):
        yield (*key, *figures.row())


REQUEST_STATISTICS = Report(
    "request-statistics", "Request statistics", "None: counts. A count of one can be a person's.", COLUMNS, _rows
)
