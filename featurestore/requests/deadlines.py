"""Deadlines: when a request must be acknowledged and answered, by the terms of its regime. Pure.

The day of receipt, in the regime's time zone, is day 0 and does not count (Regulation 1182/71, Article 3(1)). A
deadline is the end of its last day: the first moment of the next one.

1. Terms of one unit are added before they are counted: a month and two more are three months from the receipt, as the
   ICO counts them. 31 January and one month end on 28 February, and three months on 30 April.
2. Days, and months by the calendar; a month without that day ends it on its last one. Business days: each day that is
   no Saturday, no Sunday and no holiday counts.
3. The time for which the clock was paused is added to the second.
4. Where the regime says so (Article 3(4)), a deadline on a day that is no business day moves to the end of the next.
"""

import calendar
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
SATURDAY = 5
LONGEST = {"days": 3660, "business_days": 2600, "months": 120}
"""Bounds of a term, about ten years, by its unit."""


class Unit(StrEnum):
    """What a term counts."""

    DAYS = "days"
    BUSINESS_DAYS = "business_days"
    MONTHS = "months"


class Term(NamedTuple):
    """A period of law: a number of days, business days or calendar months."""

    number: int
    unit: Unit


class Calendar(NamedTuple):
    """Time zone and holidays of a regime. ``rolls``: a deadline never falls on a day that is no business day."""

    zone: ZoneInfo
    holidays: frozenset[date] = frozenset()
    rolls: bool = False

    def is_business_day(self, day: date) -> bool:
        return day.weekday() < SATURDAY and day not in self.holidays

    def day_of(self, at: datetime) -> date:
        """The day, in the regime's time zone, of a moment."""
        return at.astimezone(self.zone).date()

    def end_of(self, day: date) -> datetime:
        """The first moment that is after a day."""
        return datetime.combine(day + DAY, time(), self.zone).astimezone(ZoneInfo("UTC"))


class Pause(NamedTuple):
    """A time during which the clock stood still, because the customer had to answer."""

    began: datetime
    ended: datetime


def deadline(received: datetime, terms: Sequence[Term], cal: Calendar, pauses: Iterable[Pause] = ()) -> datetime:
    """The moment before which a request received then must be answered.

    >>> berlin = Calendar(ZoneInfo("Europe/Berlin"), rolls=True)
    >>> received = datetime(2026, 1, 31, 12, tzinfo=ZoneInfo("UTC"))
    >>> deadline(received, [Term(1, Unit.MONTHS)], berlin).isoformat()  # 28 February is a Saturday
    '2026-03-02T23:00:00+00:00'
    """
    day = cal.day_of(received)
    for term in added(terms):
        day = last_day(day, term, cal)
    due = cal.end_of(day) + paused_time(pauses)
    return rolled(due, cal) if cal.rolls else due


def added(terms: Sequence[Term]) -> list[Term]:
    """Terms with those of one unit added up, in the order in which the units come.

    >>> added([Term(1, Unit.MONTHS), Term(2, Unit.MONTHS)])
    [Term(number=3, unit=<Unit.MONTHS: 'months'>)]
    """
    numbers: dict[Unit, int] = {}
    for term in terms:
        numbers[term.unit] = numbers.get(term.unit, 0) + term.number
    return [Term(number, unit) for unit, number in numbers.items()]


def last_day(day: date, term: Term, cal: Calendar) -> date:
    """The last day of a term that begins after ``day``."""
    match term.unit:
        case Unit.DAYS:
            return day + term.number * DAY
        case Unit.MONTHS:
            return months_after(day, term.number)
        case Unit.BUSINESS_DAYS:
            return business_days_after(day, term.number, cal)


def months_after(day: date, months: int) -> date:
    """The same day of a later month, or that month's last day.

    >>> months_after(date(2027, 11, 30), 3)
    datetime.date(2028, 2, 29)
    """
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def business_days_after(day: date, number: int, cal: Calendar) -> date:
    """The business day that is the ``number``-th one after ``day``."""
    while number:
        day += DAY
        number -= cal.is_business_day(day)
    return day


def paused_time(pauses: Iterable[Pause]) -> timedelta:
    """The sum of the pauses. They must not overlap."""
    return sum((pause.ended - pause.began for pause in pauses), timedelta())


def rolled(due: datetime, cal: Calendar) -> datetime:
    """A deadline, moved to the end of the next business day if the last moment before it is in no business day."""
    day = cal.day_of(due - timedelta.resolution)
    if cal.is_business_day(day):
        return due
    return cal.end_of(business_days_after(day, 1, cal))
