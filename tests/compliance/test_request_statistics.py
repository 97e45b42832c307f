"""Figures of request statistics: outcomes, days and what is overdue."""

from collections import Counter
from datetime import timedelta
from statistics import median as median_of_list
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.compliance.report import Period
from featurestore.compliance.reports.request_statistics import COLUMNS, REQUEST_STATISTICS, Figures, median
from featurestore.requests.models import Regime, SubjectRequest
from tests.kit.clock import at
from tests.kit.requests import NOON, RequestsEnvironment, seed_regimes
from tests.kit.shop import Shop

DAY_S = 86_400
NAMES = [column.name for column in COLUMNS[3:]]


def counted(*requests: dict[str, Any], after_days: float = 10) -> dict[str, Any]:
    """The figures of requests received at the beginning and due after 30 days."""
    figures = Figures()
    for fields in requests:
        figures.add(SubjectRequest(**{"received_at": at(), "due_at": at(30 * DAY_S)} | fields), at(after_days * DAY_S))
    return dict(zip(NAMES, figures.row(), strict=True))


@given(st.lists(st.integers(0, 50)))
def test_the_median_is_that_of_the_list(days: list[int]) -> None:
    assert median(Counter(days)) == (median_of_list(days) if days else None)


def test_each_request_has_one_outcome() -> None:
    found = counted(
        {"state": "open"},
        {"state": "answered", "answered_at": at(4 * DAY_S)},
        {"state": "closed", "answered_at": at(6 * DAY_S), "ended_at": at(9 * DAY_S)},
        {"state": "refused", "ended_at": at(2 * DAY_S), "extended_at": at(DAY_S)},
        {"state": "withdrawn", "ended_at": at(1)},
        {"state": "duplicate", "ended_at": at(1)},
        {"state": "lapsed", "ended_at": at(1)},
    )
    assert found == {
        "received": 7,
        "answered": 2,
        "refused": 1,
        "withdrawn": 1,
        "duplicates": 1,
        "lapsed": 1,
        "open": 1,
        "extended": 1,
        "overdue": 0,
        "median_days": 4.0,
        "longest_days": 6,
    }


def test_open_past_its_time_is_overdue_unless_its_clock_stands_still() -> None:
    assert counted({"state": "open"}, after_days=30)["overdue"] == 1
    assert counted({"state": "waiting", "paused_at": at()}, after_days=31)["overdue"] == 0


def test_answered_or_refused_at_the_end_of_the_time_is_overdue() -> None:
    late = at(30 * DAY_S)
    found = counted({"state": "closed", "answered_at": late}, {"state": "refused", "ended_at": late})
    assert found["overdue"] == 2


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_month_is_one_of_the_regimes_time_zone(shop: Shop) -> None:
    seed_regimes()
    environment = RequestsEnvironment(shop.store)
    for hour, customer_id in ((14, "C1"), (15, "C2")):  # an hour before and after midnight in Tokyo
        shop.register(customer_id)
        environment.receive(at=NOON.replace(hour=hour, minute=30), customer_id=customer_id)
    Regime.objects.update(time_zone="Asia/Tokyo")
    rows = REQUEST_STATISTICS.rows(Period(None, NOON + timedelta(days=9)))
    assert [row[:4] for row in rows] == [("gdpr", "2026-11", "access", 1), ("gdpr", "2026-12", "access", 1)]
