"""POST /v1/consents: in effect at the next read, or answered 202."""

from typing import Any

import pytest

from featurestore.access.services import create_client, create_key
from featurestore.consent.models import ConsentRecord
from featurestore.consent.services import define_purpose, publish_notice, retire_purpose
from featurestore.profiles.services import register
from tests.api.test_features import FEATURES_PATH, QUERY
from tests.kit.api import Post
from tests.kit.serving_environment import ServingEnvironment

PATH = "/v1/consents"
GIVEN = {"customer_id": "C7", "purpose": "service", "decision": "given", "notice": "privacy/1/en", "method": "chat"}
WITHDRAWN = {"customer_id": "C7", "purpose": "service", "decision": "withdrawn", "method": "chat", "reason": "no more"}


@pytest.fixture(autouse=True)
def customer(environment: ServingEnvironment) -> None:
    for name, basis in {"service": "consent", "personalisation": "contract"}.items():
        define_purpose(name, title=name, lawful_basis=basis)
    publish_notice("privacy", 1, "en", "What we do.", ["service"])
    register("C7", "EU", "lamp")


def status_of_spend(post: Post) -> str:
    return post(FEATURES_PATH, QUERY | {"customer_id": "C7"}).json()["views"]["spend"]["status"]


def test_next_read_obeys_a_decision(post: Post) -> None:
    assert status_of_spend(post) == "withheld"
    assert post(PATH, GIVEN).status_code == 201
    assert status_of_spend(post) == "missing"
    assert post(PATH, WITHDRAWN).status_code == 201
    assert status_of_spend(post) == "withheld"
    assert [r.actor for r in ConsentRecord.objects.all()] == ["support-bot", "support-bot"]


def test_withdrawal_is_202_while_the_store_is_unavailable(post: Post, environment: ServingEnvironment) -> None:
    assert post(PATH, GIVEN).json()["effective"]
    environment.store.available = False
    response = post(PATH, WITHDRAWN)
    assert response.status_code == 202
    assert response.json()["effective"] is False
    assert ConsentRecord.objects.first().decision == "withdrawn"  # type: ignore[union-attr]


def test_consent_with_until_ends_then(post: Post) -> None:
    answer = post(PATH, GIVEN | {"until": "2099-01-01T00:00:00+01:00"}).json()
    assert answer["until"] == "2098-12-31T23:00:00Z"


@pytest.mark.parametrize(
    ("change", "status", "name"),
    [
        ({"customer_id": "unknown"}, 404, "unknown-customer"),
        ({"customer_id": "a\0b"}, 400, "malformed"),
        ({"purpose": "analytics"}, 403, "forbidden"),
        ({"purpose": "personalisation", "notice": None}, 409, "wrong-basis"),
        ({"purpose": "fraud"}, 404, "unknown-purpose"),
        ({"notice": None}, 422, "wrong-notice"),
        ({"notice": "privacy/2/en"}, 422, "wrong-notice"),
        ({"notice": "privacy"}, 400, "malformed"),
        ({"notice": "a\0/1/en"}, 400, "malformed"),
        ({"notice": "privacy/1/en\n"}, 400, "malformed"),
        ({"method": "admin"}, 400, "malformed"),
        ({"decision": "expired"}, 400, "malformed"),
        ({"reason": "x" * 501}, 400, "malformed"),
        ({"reason": "a\0b"}, 400, "malformed"),
        ({"until": "2020-01-01T00:00:00Z"}, 422, "wrong-date"),
        ({"until": "2099-01-01T00:00:00"}, 400, "malformed"),
        ({"decision": "withdrawn", "until": "2099-01-01T00:00:00Z"}, 422, "wrong-date"),
    ],
)
def test_wrong_decision_is_a_problem_and_records_nothing(
    post: Post, change: dict[str, Any], status: int, name: str
) -> None:
    response = post(PATH, GIVEN | change)
    problem = response.json()
    assert (response.status_code, problem["type"]) == (status, f"urn:rapport:problem:{name}")
    assert not ConsentRecord.objects.exists()
    assert "expired" not in problem["detail"], "no value of the request is repeated"


def test_retired_purpose_takes_no_consent(post: Post) -> None:
    retire_purpose("service")
    assert post(PATH, GIVEN).json()["type"] == "urn:rapport:problem:inactive-purpose"


def test_decision_needs_the_scope_consent_write(post: Post) -> None:
    reader = create_client("reader", owner="", actor="test")
    _, text = create_key(
        reader, services=["support_chat"], purposes=["service"], scopes=["features:read"], actor="test"
    )
    assert post(PATH, GIVEN, authorization=f"Bearer {text}").status_code == 403
