"""GET /v1/services: services of a key and the specification of each feature."""

from typing import Any

import pytest
from django.test import Client

from featurestore.catalog import registry
from featurestore.definitions.description import service_spec
from tests.kit.api import PURPOSES, SERVICES


@pytest.fixture
def listed(client: Client, key: str) -> dict[str, Any]:
    return client.get("/v1/services", headers={"Authorization": f"Bearer {key}"}).json()


def test_key_lists_its_services_and_purposes(listed: dict[str, Any]) -> None:
    assert listed["purposes"] == sorted(PURPOSES)
    assert {service["name"] for service in listed["services"]} == set(SERVICES)


def test_each_feature_is_specified_as_it_is_defined(listed: dict[str, Any]) -> None:
    for described in listed["services"]:
        service = registry.services[described["name"]]
        features = {f["name"]: f for view in described["views"] for f in view["features"]}
        assert set(features) == set(service.defaults())
        for view, feature in service.features:
            found, aggregation = features[feature.name], view.aggregations[feature.aggregation_index].aggregation
            assert (found["window_s"], found["step_s"]) == (feature.window_s, feature.resolution_s)
            assert found["aggregation"] == type(aggregation).__name__
            assert found["default"] == feature.default
            assert set(found["filter"]) == set(aggregation.where)


def test_specification_of_one_feature(listed: dict[str, Any]) -> None:
    support = next(service for service in listed["services"] if service["name"] == "support_chat")
    view = next(view for view in support["views"] if view["name"] == "returns")
    assert view["purposes"] == ["service"]
    assert view["features"][1] == {
        "name": "returns_90d",
        "view": "returns",
        "source": "orders",
        "aggregation": "Count",
        "parameters": {},
        "field": None,
        "kind": None,
        "places": 0,
        "filter": {"kind": ["returned"]},
        "window_s": 90 * 86_400,
        "step_s": 86_400,
        "type": "integer",
        "items": None,
        "nullable": False,
        "unit": "1",
        "default": 0,
        "error": "",
    }


def test_api_and_command_line_specify_services_alike(listed: dict[str, Any]) -> None:
    assert listed["services"] == [
        service_spec(registry.services[described["name"]]) for described in listed["services"]
    ]


def test_list_needs_a_key(client: Client) -> None:
    assert client.get("/v1/services").status_code == 401
