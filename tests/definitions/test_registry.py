"""Registry: clashes among definitions, each with the file and line to change."""

import sys
from types import ModuleType
from typing import Any

import pytest

from featurestore.aggregations import Count, Sum, WindowedAggregation
from featurestore.definitions import EventSource, FeatureService, FeatureView, Problem, Registry
from tests.definitions.sample_source import Purchase, purchases

PURPOSES = ["service", "fraud"]


def line() -> int:
    """The caller's line."""
    return sys._getframe(1).f_lineno


def view(name: str, *features: WindowedAggregation, **options: Any) -> FeatureView:
    features = features or (Count().over("1h"),)
    return FeatureView(name, **{"source": purchases, "purposes": {"service"}, "features": features} | options)


def problems(*definitions: object, purposes: list[str] = PURPOSES, lock: bool = True) -> list[Problem]:
    registry = Registry([purchases, *definitions])
    return registry.check(purposes, registry.fingerprints({}) if lock else {})


def test_valid_definitions_have_no_problem() -> None:
    spend = view("spend")
    assert problems(spend, FeatureService("chat", [spend], purpose="service")) == []


def test_view_defined_twice_is_a_problem_at_each_line() -> None:
    first, second = view("spend"), view("spend", Sum("amount").over("1h"), version=2)
    found = problems(first, second)
    assert [problem.message for problem in found] == ["view spend is defined 2 times: rename one"] * 2
    assert [problem.defined_at for problem in found] == [first.defined_at, second.defined_at]


def test_source_defined_twice_is_a_problem() -> None:
    again = EventSource("purchases", data=Purchase, type="test.purchase")
    assert {p.message for p in problems(again)} == {"source purchases is defined 2 times: rename one"}


def test_feature_of_two_views_names_both_lines() -> None:
    ours = view("spend", Count().over("1h", name="orders"))
    at = line() + 1
    theirs = view("loyalty", Count().over("1h", name="orders"))
    (problem,) = problems(ours, theirs)
    assert problem.defined_at.endswith(f"test_registry.py:{at}")
    assert (
        problem.message
        == f"view loyalty: feature orders is also in view spend ({ours.features[0].defined_at}): give one a name="
    )


def test_undeclared_purpose_of_a_view_is_a_problem() -> None:
    at = line() + 1
    spend = FeatureView("spend", source=purchases, purposes={"servcie", "fraud"}, features=[Count().over("1h")])
    (problem,) = problems(spend)
    assert problem.defined_at.endswith(f"tests/definitions/test_registry.py:{at}")
    assert problem.message == "view spend: the purpose servcie is not declared; declared: fraud, service"


def test_undeclared_purpose_of_a_service_is_a_problem() -> None:
    spend = view("spend", purposes={"marketing"})
    found = problems(spend, FeatureService("chat", [spend], purpose="marketing"))
    assert [problem.message.partition(":")[0] for problem in found] == ["view spend", "service chat"]


def test_change_without_a_new_version_is_a_problem() -> None:
    recorded = Registry([view("spend")]).fingerprints({})
    changed = Registry([purchases, view("spend", Count().over("2h"))])
    (problem,) = changed.check(PURPOSES, recorded)
    assert problem == Problem(
        changed.views["spend"].defined_at,
        "view spend changed under version 1: its stored values would start empty; "
        "raise version=2 and run `manage.py features lock`, or undo the change",
    )
    raised = Registry([purchases, view("spend", Count().over("2h"), version=2)])
    assert [p.message for p in raised.check(PURPOSES, recorded)] == [
        "view spend version 2 is not recorded: run `manage.py features lock`"
    ]
    assert raised.check(PURPOSES, raised.fingerprints(recorded)) == []


def test_lock_keeps_the_recorded_fingerprint() -> None:
    recorded = Registry([view("spend")]).fingerprints({})
    changed = Registry([purchases, view("spend", Count().over("2h"))])
    assert changed.fingerprints(recorded) == recorded


def test_renamed_feature_and_new_owner_are_no_change() -> None:
    recorded = Registry([view("spend")]).fingerprints({})
    renamed = Registry([purchases, view("spend", Count().over("1h", name="orders"), owner="shop", max_age_s=5)])
    assert renamed.check(PURPOSES, recorded) == []


def test_view_or_source_not_in_the_registry_is_a_problem() -> None:
    spend = view("spend")
    service = FeatureService("chat", [spend], purpose="service")
    assert Registry([service]).check(PURPOSES, {}) == [
        Problem(service.defined_at, "service chat: its view spend is not in the registry")
    ]
    assert Registry([spend]).check(PURPOSES, Registry([spend]).fingerprints({})) == [
        Problem(spend.defined_at, "view spend: its source purchases is not in the registry")
    ]


def test_registry_of_modules_takes_public_names_once() -> None:
    one, other = ModuleType("one"), ModuleType("other")
    one.purchases, one.spend, one._hidden = purchases, view("spend"), view("hidden")  # type: ignore[attr-defined]
    other.spend = one.spend  # type: ignore[attr-defined]
    registry = Registry.of(one, other)
    assert (list(registry.sources), list(registry.views)) == (["purchases"], ["spend"])
    assert registry.views_of("purchases") == [one.spend]


@pytest.mark.parametrize("purpose", PURPOSES)
def test_service_has_every_feature_of_its_views(purpose: str) -> None:
    spend = view("spend", Count().over("1h"), Sum("amount").over("1h"), purposes=PURPOSES)
    service = FeatureService("chat", [spend], purpose=purpose)
    assert service.defaults() == {"spend_count_1h": 0, "spend_amount_sum_1h": 0}
    assert service.sources == ["purchases"]
