"""Deadlines: examples of the law, and laws of the arithmetic against an oracle that walks from day to day."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.requests.deadlines import Calendar, Pause, Term, Unit, deadline

BERLIN, ANGELES, SAO_PAULO = (ZoneInfo(name) for name in ("Europe/Berlin", "America/Los_Angeles", "America/Sao_Paulo"))
ZONES = [BERLIN, ANGELES, SAO_PAULO, ZoneInfo("America/Havana"), ZoneInfo("Australia/Lord_Howe"), ZoneInfo("UTC")]
MONTH, TWO_MONTHS = Term(1, Unit.MONTHS), Term(2, Unit.MONTHS)
DAY = timedelta(days=1)
CHRISTMAS = frozenset({date(2026, 12, 25)})


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("received", "terms", "cal", "last_moment"),
    [
        # GDPR, Article 12(3): a month by the calendar, from the day of receipt in Berlin
        ("2026-11-30 12:00", [MONTH], Calendar(BERLIN), "2026-12-30 23:59"),
        ("2026-11-30 23:30", [MONTH], Calendar(BERLIN), "2027-01-01 23:59"),  # 1 December there
        ("2026-01-31 12:00", [MONTH], Calendar(BERLIN), "2026-02-28 23:59"),
        ("2028-01-31 12:00", [MONTH], Calendar(BERLIN), "2028-02-29 23:59"),
        ("2026-01-31 12:00", [MONTH, TWO_MONTHS], Calendar(BERLIN), "2026-04-30 23:59"),
        # Regulation 1182/71, Article 3(4): never on a Saturday, Sunday or holiday
        ("2026-01-28 12:00", [MONTH], Calendar(BERLIN, rolls=True), "2026-03-02 23:59"),
        ("2026-11-25 12:00", [MONTH], Calendar(BERLIN, CHRISTMAS, rolls=True), "2026-12-28 23:59"),
        ("2026-11-24 12:00", [MONTH], Calendar(BERLIN, CHRISTMAS, rolls=True), "2026-12-24 23:59"),
        # CCPA: 45 days and 45 more, 10 and 15 business days, from the day of receipt in Los Angeles
        ("2026-11-30 12:00", [Term(45, Unit.DAYS)], Calendar(ANGELES), "2027-01-14 23:59"),
        ("2026-12-01 07:30", [Term(45, Unit.DAYS)], Calendar(ANGELES), "2027-01-14 23:59"),  # 30 November there
        ("2026-11-30 12:00", [Term(45, Unit.DAYS)] * 2, Calendar(ANGELES), "2027-02-28 23:59"),
        ("2026-11-30 20:00", [Term(10, Unit.BUSINESS_DAYS)], Calendar(ANGELES), "2026-12-14 23:59"),
        ("2026-11-28 20:00", [Term(15, Unit.BUSINESS_DAYS)], Calendar(ANGELES), "2026-12-18 23:59"),  # a Saturday
        ("2026-12-18 20:00", [Term(5, Unit.BUSINESS_DAYS)], Calendar(ANGELES, CHRISTMAS),
         "2026-12-28 23:59"),
        # LGPD, art. 19, II
        ("2026-11-30 12:00", [Term(15, Unit.DAYS)], Calendar(SAO_PAULO), "2026-12-15 23:59"),
    ],
)  # fmt: skip
def test_examples_of_the_law(received: str, terms: list[Term], cal: Calendar, last_moment: str) -> None:
    last = deadline(utc(received), terms, cal) - timedelta(minutes=1)
    assert last.astimezone(cal.zone).strftime("%Y-%m-%d %H:%M") == last_moment


def end_by_walking(day: date, zone: ZoneInfo) -> datetime:
    """The first quarter of an hour that is after a day in a zone."""
    at = datetime(day.year, day.month, day.day, tzinfo=UTC) - DAY
    while at.astimezone(zone).date() <= day:
        at += timedelta(minutes=15)
    return at


def last_day_by_walking(first: date, term: Term, cal: Calendar) -> date:
    day, counted = first, 0
    if term.unit is Unit.MONTHS:
        target = first.year * 12 + first.month + term.number
        while (day + DAY).year * 12 + (day + DAY).month <= target:
            day += DAY
        while day.day > first.day:
            day -= DAY
        return day
    while counted < term.number:
        day += DAY
        counted += term.unit is Unit.DAYS or (day.isoweekday() not in (6, 7) and day not in cal.holidays)
    return day


moments = st.builds(datetime.fromtimestamp, st.integers(1_704_067_200, 2_208_988_800), st.just(UTC))  # 2024 to 2040
days = st.dates(date(2024, 1, 1), date(2042, 1, 1))
calendars = st.builds(Calendar, st.sampled_from(ZONES), st.frozensets(days, max_size=12), st.booleans())
terms = st.builds(Term, st.integers(1, 60), st.sampled_from([Unit.DAYS, Unit.BUSINESS_DAYS])) | st.builds(
    Term, st.integers(1, 12), st.just(Unit.MONTHS)
)


@given(moments, terms, calendars)
def test_deadline_is_what_walking_from_day_to_day_finds(received: datetime, term: Term, cal: Calendar) -> None:
    day = last_day_by_walking(received.astimezone(cal.zone).date(), term, cal)
    while cal.rolls and (day.isoweekday() in (6, 7) or day in cal.holidays):
        day += DAY
    assert deadline(received, [term], cal) == end_by_walking(day, cal.zone)


@given(moments, terms, calendars, st.lists(st.timedeltas(timedelta(), timedelta(days=20)), max_size=4))
def test_a_paused_clock_runs_on_from_where_it_stood(
    received: datetime, term: Term, cal: Calendar, lengths: list[timedelta]
) -> None:
    cal, at, pauses = cal._replace(rolls=False), received, []
    for length in lengths:
        pauses.append(Pause(at, at + length))
        at += length + DAY
    due = deadline(received, [term], cal)
    assert deadline(received, [term], cal, pauses) - due == sum(lengths, timedelta())
    halves = [half for p in pauses for half in (Pause(p.began, p.began + (p.ended - p.began) / 2),)]
    halves += [Pause(half.ended, whole.ended) for half, whole in zip(halves, pauses, strict=True)]
    assert deadline(received, [term], cal, halves) == deadline(received, [term], cal, pauses)


@given(moments, terms, calendars, st.timedeltas(timedelta(), timedelta(days=40)))
def test_deadline_that_rolls_is_the_first_business_day(
    received: datetime, term: Term, cal: Calendar, paused: timedelta
) -> None:
    pauses = [Pause(received, received + paused)]
    due = deadline(received, [term], cal._replace(rolls=False), pauses)
    rolled = deadline(received, [term], cal._replace(rolls=True), pauses)
    day = (due - timedelta.resolution).astimezone(cal.zone).date()
    last = (rolled - timedelta.resolution).astimezone(cal.zone).date()
    assert cal.is_business_day(last)
    between = [day + n * DAY for n in range((last - day).days)]
    assert not [one for one in between if cal.is_business_day(one)]
    assert rolled >= due


@given(moments, st.timedeltas(timedelta(), timedelta(days=3)), terms, calendars)
def test_later_receipt_is_never_due_earlier(received: datetime, later: timedelta, term: Term, cal: Calendar) -> None:
    first, second = (deadline(at, [term], cal) for at in (received, received + later))
    assert received < first <= second


@given(moments, terms, terms, calendars)
def test_extension_is_never_due_earlier(received: datetime, term: Term, more: Term, cal: Calendar) -> None:
    assert deadline(received, [term, more], cal) >= deadline(received, [term], cal)
