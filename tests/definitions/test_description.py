"""Descriptions of definitions, as JSON and as text for a terminal."""

import json
from typing import Any

from featurestore.aggregations import Count, DistinctCount, Quantile, SessionCount, Variance
from featurestore.definitions import FeatureService, FeatureView
from featurestore.definitions.description import duration, feature_spec, service_spec
from featurestore.definitions.pages import feature_page, service_page, view_page
from tests.definitions.sample_source import purchases

spend = FeatureView(
    "spend",
    source=purchases,
    purposes={"service", "fraud"},
    description="Purchases.",
    features=[
        Quantile("amount", where={"kind": {"returned", "completed"}, "gift": True}, q=0.5).over("30d", name="usual"),
        Count().over("lifetime", name="orders"),
    ],
)
service = FeatureService("chat", [spend], purpose="service", owner="shop", description="Talks.")


def test_feature_spec_in_json() -> None:
    assert feature_spec(spend, spend.features[0]) == {
        "name": "usual",
        "view": "spend",
        "source": "purchases",
        "aggregation": "Quantile",
        "parameters": {"q": 0.5},
        "field": "amount",
        "kind": "scaled",
        "places": 4,
        "filter": {"gift": [True], "kind": ["completed", "returned"]},
        "window_s": 30 * 86_400,
        "step_s": 43_200,
        "type": "number",
        "items": None,
        "nullable": True,
        "unit": "1",
        "default": None,
        "error": "none up to 256 different values in a tile; beyond, 1.6 % of the answer if the largest is up to 256 "
        "times the smallest, 3.2 % up to 65,000 times, twice as much for each square of that",
    }


def test_spec_has_every_parameter_and_error() -> None:
    asked = [
        SessionCount(gap="10m").over("1h"),
        Variance("amount", sample=True).over("1h"),
        DistinctCount("category").over("1h"),
        Count().over("1h"),
    ]
    view = FeatureView("described", source=purchases, purposes={"service"}, features=asked)
    specs = [feature_spec(view, feature) for feature in view.features]
    assert [spec["parameters"] for spec in specs] == [{"gap": "10m"}, {"sample": True}, {}, {}]
    assert [bool(spec["error"]) for spec in specs] == [False, False, True, False]
    assert not any("exact" in spec for spec in specs)


def test_service_spec_has_all_views_and_features() -> None:
    spec: dict[str, Any] = json.loads(json.dumps(service_spec(service)))
    (view,) = spec["views"]
    assert (spec["purpose"], view["topic"], view["type"]) == ("service", "events.purchases", "test.purchase")
    assert [feature["name"] for feature in view["features"]] == ["usual", "orders"]
    assert view["features"][1]["window_s"] is None


def test_pages_of_service_view_and_feature() -> None:
    assert list(view_page(spend)) == [
        "spend: Purchases.",
        "  from purchases, for fraud, service, by nobody",
        f"  {spend.defined_at}",
        "    usual   Quantile q=0.5 of amount where gift is True and kind is completed or returned over 30 d",
        "    orders  Count over a lifetime",
    ]
    assert next(service_page(service)) == "chat, for service, by shop: Talks."
    assert list(feature_page(spend, spend.features[1])) == [
        "orders: Count over a lifetime",
        "  from purchases, for fraud, service, in view spend",
        "  an integer; without events: 0; error: none",
        "  one tile",
        f"  {spend.features[1].defined_at}",
    ]


def test_duration_is_in_its_largest_whole_unit() -> None:
    assert [duration(s) for s in (60, 90, 5_400, 7_200, 86_400, 90_000)] == [
        "1 min", "90 s", "90 min", "2 h", "1 d", "25 h",
    ]  # fmt: skip
