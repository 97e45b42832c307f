"""The OpenAPI document and its page."""

import re
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from featurestore.access.scopes import Scope

MISSING = "Request is missing grant type."


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    return client.get("/v1/openapi.json").json()


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for value in node.values() for found in references(value)]
    return [found for item in node for found in references(item)] if isinstance(node, list) else []


def test_every_reference_resolves(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert found
    assert found <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


def test_every_operation_documents_security_and_problems(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["security"] == [{"key": []}, {"token": []}]
            assert {"401", "500", "503"} <= set(operation["responses"])
            assert re.fullmatch("[a-z][A-Za-z]+", operation["operationId"]), "short, and it never changes"
            assert operation["summary"]
            assert operation["description"]
            if "requestBody" in operation:
                assert operation["requestBody"]["content"]["application/json"]["examples"]
                assert {"400", "403", "413"} <= set(operation["responses"])


def test_token_url_and_scopes_are_documented(client: Client, document: dict[str, Any]) -> None:
    flow = document["components"]["securitySchemes"]["token"]["flows"]["clientCredentials"]
    assert client.post(flow["tokenUrl"]).json() == {"error": "invalid_request", "error_description": MISSING}
    assert {*Scope, "purpose:service"} <= flow["scopes"].keys()


def test_schemas_state_the_limits(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    batch, one = schemas["BatchRequest"], schemas["FeatureRequest"]
    assert batch["properties"]["customer_ids"]["maxItems"] == 100
    assert one["additionalProperties"] is False
    assert set(one["required"]) == {"service", "purpose", "customer_id"}


def test_patterns_are_those_of_json_schema(document: dict[str, Any]) -> None:
    notice = document["components"]["schemas"]["ConsentRequest"]["properties"]["notice"]["anyOf"][0]["pattern"]
    assert notice == r"^[-\w]{1,64}/[0-9]{1,9}/[-\w]{1,16}$"
    assert r"\Z" not in str(document)


def test_documentation_page_loads_only_own_files(client: Client) -> None:
    page = client.get("/v1/docs").content.decode()
    scripts = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert scripts
    for address in scripts:
        assert address.startswith("/static/"), address
        assert finders.find(address.removeprefix("/static/"))
