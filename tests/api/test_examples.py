"""Examples of the OpenAPI document: each is sent and answered as documented."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from featurestore.access.services import create_client, create_key
from featurestore.api import as_of_examples, request_examples
from featurestore.api.examples import BATCH, CONSENTS, CUSTOMERS, EVENTS, FEATURES, Example
from featurestore.api.services import EXAMPLES, LISTED, SMALLEST
from featurestore.api.sse import operation
from featurestore.catalog.purposes import PURPOSES
from featurestore.clock import moment
from featurestore.consent import change_sequence
from featurestore.consent.services import define_purpose, give, publish_notice, withdraw
from featurestore.customers.suppressions import add_suppressions, entry_of
from featurestore.profiles.services import register
from featurestore.requests import services
from featurestore.requests.actors import client as client_actor
from featurestore.requests.services import Intake, codes, intake, verification
from tests.kit.api import Post
from tests.kit.requests import seed_regimes
from tests.kit.serving_environment import NOW_MS, ServingEnvironment

NOON = moment(NOW_MS)
VARYING = {"since", "record", "in_effect_at", "instance", "id", "url", "expires_at"}
"""Fields that differ each time."""

DOCUMENTED = {
    "/v1/features": ("post", FEATURES),
    "/v1/features/batch": ("post", BATCH),
    "/v1/features/stream": ("post", operation.EXAMPLES),
    "/v1/consents": ("post", CONSENTS),
    "/v1/consents/as-of": ("post", as_of_examples.AS_OF),
    "/v1/customers": ("post", CUSTOMERS),
    "/v1/events": ("post", EVENTS),
    "/v1/services": ("get", EXAMPLES),
    "/v1/requests": ("post", request_examples.RECORDED),
    "/v1/requests/links": ("post", request_examples.LINKS),
    "/v1/requests/{reference}": ("get", request_examples.LOOKED_UP),
    "/v1/requests/{reference}/verification": ("post", request_examples.VERIFIED),
}
CASES = [(method, path, example) for path, (method, examples) in DOCUMENTED.items() for example in examples]


def store_unavailable(environment: ServingEnvironment) -> None:
    environment.store.available = False


def kafka_unavailable(environment: ServingEnvironment) -> None:
    environment.kafka.available = False


def withdrawn_a_minute_ago(environment: ServingEnvironment) -> None:
    withdraw("C42", "service", method="chat", actor="test", decided_at=NOON - timedelta(minutes=1))


def agreed_at_noon() -> None:
    give("C42", "service", notice="privacy/1/en", method="chat", actor="test")


PREPARATIONS: dict[str, Callable[[ServingEnvironment], None]] = {
    "store-unavailable": store_unavailable,
    "pending": store_unavailable,
    "kafka-unavailable": kafka_unavailable,
    "superseded": withdrawn_a_minute_ago,
    "allowed": lambda _: agreed_at_noon(),
    "to-be-signed": lambda _: agreed_at_noon(),
    "erased": lambda _: add_suppressions([entry_of("C13")], NOON),
}


@pytest.fixture
def purposes(environment: ServingEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    """The purposes and the notice that the examples of decisions name; at noon, by the database's clock too."""
    monkeypatch.setattr(change_sequence, "database_now", lambda: NOON)
    for purpose in PURPOSES:
        define_purpose(purpose.name, title=purpose.title, lawful_basis=purpose.basis)
    publish_notice("privacy", 1, "en", "What we do.", ["service"])


def key_of_one_service() -> str:
    one = create_client("insight", owner="", actor="test")
    may = {
        "services": [SMALLEST["name"]],
        "purposes": [SMALLEST["purpose"]],
        "scopes": ["features:read"],
        "actor": "test",
    }
    return create_key(one, **may)[1]


def request_address(path: str, example: Example, patch: pytest.MonkeyPatch, key: str) -> tuple[str, dict[str, str]]:
    """The address of an example about a request that is made for it, and the headers to look it up with."""
    for module in (intake, verification, codes):
        patch.setattr(module, "database_now", lambda: NOON)
    seed_regimes()
    if "{reference}" not in path:
        return path, {}
    attested = example in request_examples.LOOKED_UP
    made = Intake("access", "gdpr", "api", "C42", attested=attested)
    reference = services.receive(made, client_actor("support-bot")).request.reference
    if not attested:
        code = iter("12345678")
        contact = services.record_contact("C42", "email", "ann@example.org", client_actor("support-bot"))
        patch.setattr(codes.secrets, "choice", lambda digits: next(code))
        codes.issue(reference, contact)
    known = example.name != "unknown-request"
    headers = {} if example.status == 401 else {"Authorization": f"Bearer {key}"}
    return path.format(reference=reference if known else "R-AAAA-AAAA"), headers


def matches(answer: Any, documented: Any) -> bool:
    """Whether an answer equals its documentation; fields that vary must have the same type."""
    if isinstance(documented, dict):
        return answer.keys() == documented.keys() and all(
            type(answer[k]) is type(documented[k]) if k in VARYING else matches(answer[k], documented[k])
            for k in documented
        )
    if isinstance(documented, list):
        return len(answer) == len(documented) and all(map(matches, answer, documented))
    return bool(answer == documented)


@pytest.mark.parametrize(("method", "path", "example"), CASES, ids=[f"{p} {e.name}" for _, p, e in CASES])
def test_example_is_answered_as_documented(
    client: Client,
    post: Post,
    environment: ServingEnvironment,
    purposes: None,
    method: str,
    path: str,
    example: Example,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if path.startswith("/v1/consents") or example.name == "known":
        register("C42", "EU", "lamp", since=datetime(2026, 1, 1, tzinfo=UTC))
    PREPARATIONS.get(example.name, lambda _: None)(environment)
    headers = {"Authorization": f"Bearer {key_of_one_service()}"} if example is LISTED else {}
    if path.startswith("/v1/requests"):
        path, headers = request_address(path, example, monkeypatch, key)
    response = post(path, example.request) if example.request else getattr(client, method)(path, headers=headers)
    assert response.status_code == example.status
    assert matches(response.json(), example.answer), response.json()


def documented(client: Client) -> dict[str, Any]:
    return client.get("/v1/openapi.json").json()


def test_document_has_every_example_under_its_operation(client: Client) -> None:
    for path, (method, examples) in DOCUMENTED.items():
        operation = documented(client)["paths"][path][method]
        for example in examples:
            content = operation["responses"][str(example.status)]["content"]
            assert example.name in next(iter(content.values()))["examples"]


def test_every_operation_has_examples(client: Client) -> None:
    assert set(documented(client)["paths"]) == set(DOCUMENTED)
