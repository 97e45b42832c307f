"""Identifiers that look like others: refused by every route that takes one, before anything is read or stored."""

from typing import Any

import pytest

from featurestore.customers.models import Customer
from tests.kit.api import Post
from tests.kit.identifiers import LOOKALIKES
from tests.kit.serving_environment import ServingEnvironment

READ = {"service": "support_chat", "purpose": "service"}
DECISION = {"purpose": "service", "decision": "withdrawn", "method": "chat"}
DATA = {"author": "customer", "conversation_id": "c7"}
EVENT = {"source": "chat", "customer_id": "C42", "id": "m/3", "time": "2026-11-22T11:59:58Z", "data": DATA}


def bodies(identifier: str) -> list[tuple[str, dict[str, Any], str]]:
    """Every place of an identifier in a body: route, body, path of the field."""
    return [
        ("/v1/features", READ | {"customer_id": identifier}, "$.customer_id"),
        ("/v1/features/batch", READ | {"customer_ids": ["C42", identifier]}, "$.customer_ids[1]"),
        ("/v1/consents", DECISION | {"customer_id": identifier}, "$.customer_id"),
        ("/v1/customers", {"customer_id": identifier, "region": "eu", "brand": "lamp"}, "$.customer_id"),
        ("/v1/events", {"events": [EVENT | {"customer_id": identifier}]}, "$.events[0].customer_id"),
        (
            "/v1/events",
            {"events": [EVENT | {"data": DATA | {"conversation_id": identifier}}]},
            "$.events[0].data.conversation_id",
        ),
    ]


@pytest.mark.parametrize("identifier", LOOKALIKES, ids=ascii)
def test_route_refuses_an_identifier_that_looks_like_another(
    post: Post, environment: ServingEnvironment, identifier: str
) -> None:
    for path, body, where in bodies(identifier):
        response = post(path, body)
        assert response.status_code == 400, (path, response.content)
        detail = response.json()["detail"]
        assert LOOKALIKES[identifier] in detail
        assert detail.endswith(f"at `{where}`")
    assert not Customer.objects.exists()
    assert environment.kafka == []


@pytest.mark.parametrize("id_", ["m ", "\u00a0m", "é"])
def test_id_of_an_event_has_visible_ascii_only(post: Post, environment: ServingEnvironment, id_: str) -> None:
    response = post("/v1/events", {"events": [EVENT | {"id": id_}]})
    assert (response.status_code, "$.events[0].id" in response.json()["detail"]) == (400, True)
