"""POST /v1/customers: registered once, refused without a trace."""

from datetime import UTC, datetime
from typing import Any

import pytest

from featurestore.access.services import create_client, create_key
from featurestore.customers.models import Customer
from featurestore.customers.suppressions import add_suppressions, entry_of
from tests.kit.api import Post
from tests.kit.serving_environment import ServingEnvironment

PATH = "/v1/customers"
NEW = {"customer_id": "C8", "region": "Europe", "brand": "lamp"}


def test_customer_is_registered_once(post: Post, environment: ServingEnvironment) -> None:
    assert post(PATH, NEW).status_code == 201
    assert post(PATH, NEW | {"brand": "other"}).status_code == 200
    assert Customer.objects.get(customer_id="C8").brand == "lamp"
    assert environment.store.read([environment.subject("C8")], [], [], 100).subjects[0].permission is not None


def test_registration_is_202_while_the_store_is_unavailable(post: Post, environment: ServingEnvironment) -> None:
    environment.store.available = False
    response = post(PATH, NEW)
    assert response.status_code == 202
    assert response.json() == {"created": True, "effective": False}


@pytest.mark.parametrize(
    "change",
    [
        {"customer_id": "a\0b"},
        {"customer_id": "x" * 10_000},
        {"customer_id": ""},
        {"region": ""},
        {"region": "a\n"},
        {"brand": "x" * 65},
        {"brand": 7},
        {"email": "ann@example.org"},
    ],
)
def test_wrong_customer_is_malformed_and_not_registered(post: Post, change: dict[str, Any]) -> None:
    response = post(PATH, NEW | change)
    assert response.status_code == 400
    assert response.json()["type"] == "urn:rapport:problem:malformed"
    assert "ann" not in response.json()["detail"]
    assert not Customer.objects.exists()


def test_wrong_key_registers_no_customer(post: Post) -> None:
    assert post(PATH, NEW, authorization="Bearer rap_no_such").status_code == 401


def test_erased_customer_is_refused_unless_the_key_may_register_them_anew(
    post: Post, environment: ServingEnvironment
) -> None:
    add_suppressions([entry_of(NEW["customer_id"])], datetime(2026, 1, 1, tzinfo=UTC))
    assert post(PATH, NEW).json()["type"] == "urn:rapport:problem:erased"
    other = create_client("onboarding", owner="", actor="test")
    keys = [
        create_key(other, services=[], purposes=["service"], scopes=["consent:write", *more], actor="test")[1]
        for more in ([], ["customers:register-erased"])
    ]
    answers = [post(PATH, NEW | {"after_erasure": True}, authorization=f"Bearer {key}") for key in keys]
    assert [answer.status_code for answer in answers] == [403, 201]
    assert answers[0].json()["detail"] == "This key does not hold the scope customers:register-erased."
    assert Customer.objects.get().customer_id == NEW["customer_id"]
