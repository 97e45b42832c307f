"""Retention rules: effective-dated rows, refused where something else decides."""

from datetime import date, timedelta

import pytest

from featurestore.config import settings
from featurestore.customers.models import Customer
from featurestore.retention.errors import WrongRule
from featurestore.retention.models import RetentionRule
from featurestore.retention.rules import STAYS, add_rule, automatic, in_force, without_data
from tests.kit.clock import T0
from tests.kit.shop import Shop

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

TODAY = T0.date()
DAY = timedelta(days=1)


def add(kind: str, name: str, days: int | None, effective_from: date = TODAY, basis: str = "policy 7") -> RetentionRule:
    return add_rule(kind, name, days, effective_from, basis, actor="olivia", now=T0)


def days_in_force(day: date = TODAY) -> list[tuple[str, str, int | None]]:
    return [(rule.kind, rule.name, rule.days) for rule in in_force(day)]


def test_the_last_rule_that_began_is_in_force_until_one_ends_it(shop: Shop) -> None:
    add("reads", "service", 30)
    add("reads", "service", 20, TODAY + 5 * DAY)
    add("reads", "service", None, TODAY + 9 * DAY)
    add("reads", "analytics", 10)
    assert days_in_force(TODAY - DAY) == []
    assert days_in_force() == [("reads", "analytics", 10), ("reads", "service", 30)]
    assert days_in_force(TODAY + 4 * DAY)[1] == ("reads", "service", 30)
    assert days_in_force(TODAY + 5 * DAY)[1] == ("reads", "service", 20)
    assert days_in_force(TODAY + 9 * DAY) == [("reads", "analytics", 10)]


def test_a_rule_of_the_past_or_a_second_one_of_a_day_is_refused(shop: Shop) -> None:
    with pytest.raises(WrongRule, match="today at the earliest"):
        add("reads", "service", 30, TODAY - DAY)
    add("reads", "service", 30)
    with pytest.raises(WrongRule, match="choose another day"):
        add("reads", "service", 20)
    assert days_in_force() == [("reads", "service", 30)]


@pytest.mark.parametrize(
    ("kind", "name", "days", "reason"),
    [
        ("reads", "service", 91, "RAPPORT_ACCESS_RECORD_DAYS"),
        ("reads", "service", 0, "number of days"),
        ("reads", "service", -1, "number of days"),
        ("reads", "nothing", 30, "no purpose"),
        ("reads", "", 30, "no purpose"),
        ("customers", "eu", 179, "can't be undone"),
        ("customers", "mars", 400, "no purpose, region"),
        ("events", "orders", 29, "Kafka keeps the events of every source for 30 days"),
        ("events", "orders", 31, "Kafka keeps the events of every source for 30 days"),
        ("events", "nothing", 30, "no purpose"),
        ("values", "spend", 1, "change its definition"),
        ("values", "nothing", 30, "no purpose"),
        ("backups", "eu", 30, "Unknown kind"),
    ],
)
def test_a_rule_that_nothing_could_keep_is_refused_with_the_reason(
    shop: Shop, kind: str, name: str, days: int, reason: str
) -> None:
    shop.register()
    with pytest.raises(WrongRule, match=reason):
        add(kind, name, days)
    assert RetentionRule.objects.count() == 0


def test_a_rule_whose_region_has_no_customer_any_more_can_be_ended_only(shop: Shop) -> None:
    shop.register()
    add("customers", "eu", 400)
    assert without_data(TODAY) == []
    Customer.objects.update(region="")
    assert [rule.name for rule in without_data(TODAY)] == ["eu"]
    with pytest.raises(WrongRule, match="no purpose, region"):
        add("customers", "eu", 500, TODAY + DAY)
    add("customers", "eu", None, TODAY + DAY)
    assert days_in_force(TODAY + DAY) == []
    with pytest.raises(WrongRule, match="no purpose, region"):
        add("customers", "eu", None, TODAY + 2 * DAY)


@pytest.mark.parametrize("basis", ["", "  ", "x" * 301])
def test_a_rule_states_why(shop: Shop, basis: str) -> None:
    with pytest.raises(WrongRule, match="law, contract or policy"):
        add("reads", "service", 30, basis=basis)


def test_a_rule_may_state_what_goes_by_itself(shop: Shop) -> None:
    add("events", "orders", 30)
    known = {(one.kind, one.name): one.days for one in automatic()}
    assert known["events", "orders"] == 30
    assert known["reads", "service"] == settings().access_record_days
    lifetime = next(name for (kind, name), days in known.items() if kind == "values" and days is None)
    with pytest.raises(WrongRule, match="whole lifetime of a consent"):
        add("values", lifetime, 365)
    bounded = [(name, days) for (kind, name), days in known.items() if kind == "values" and days and days == int(days)]
    for name, days in bounded[:1]:
        assert add("values", name, int(days or 0)).days == days


def test_of_each_kind_it_is_said_what_stays(database: str) -> None:
    assert STAYS.keys() == set(RetentionRule.Kind)
    assert "stay in the stream workers' tables" in STAYS["values"]
