"""POST /v1/consents: in effect at the next read, or answered 202."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from featurestore.access.services import create_client, create_key
from featurestore.consent.models import ConsentRecord
from featurestore.consent.services import decisions, define_purpose, pause, publish_notice, retire_purpose
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


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def test_older_decision_is_recorded_and_changes_nothing(post: Post) -> None:
    assert post(PATH, WITHDRAWN | {"decided_at": ago(60)}).status_code == 201
    response = post(PATH, GIVEN | {"decided_at": (sent := ago(120))})
    answer = response.json()
    assert (response.status_code, answer["superseded"], answer["effective"]) == (200, True, False)
    assert datetime.fromisoformat(answer["decided_at"]) == datetime.fromisoformat(sent).replace(
        microsecond=datetime.fromisoformat(sent).microsecond // 1000 * 1000
    )
    assert status_of_spend(post) == "withheld"
    assert [record.superseded for record in ConsentRecord.objects.order_by("sequence")] == [False, True]
    assert post(PATH, GIVEN | {"decided_at": ago(30)}).json()["superseded"] is False
    assert status_of_spend(post) == "missing"


def test_repeat_with_its_idempotency_key_is_answered_alike(post: Post) -> None:
    key = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
    first = post(PATH, GIVEN, **key)
    reordered = dict(reversed(GIVEN.items()))
    unquoted = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
    for again in (post(PATH, GIVEN, **key), post(PATH, reordered, **key), post(PATH, GIVEN, **unquoted)):
        assert (again.status_code, again.content) == (first.status_code, first.content) == (201, first.content)
    assert ConsentRecord.objects.count() == 1
    assert post(PATH, WITHDRAWN).status_code == 201
    superseded = post(PATH, GIVEN, **key)
    assert superseded.status_code == 200
    assert superseded.json() == first.json() | {"effective": False, "superseded": True}
    assert status_of_spend(post) == "withheld", "a repeat does nothing again"


def test_pending_decision_is_answered_201_by_a_repeat_once_in_effect(
    post: Post, environment: ServingEnvironment
) -> None:
    key = {"Idempotency-Key": '"k"'}
    environment.store.available = False
    first = post(PATH, WITHDRAWN, **key)
    environment.store.available = True
    again = post(PATH, WITHDRAWN, **key)
    assert (first.status_code, again.status_code) == (202, 201)
    assert again.json() == first.json() | {"effective": True}


def test_idempotency_key_with_another_body_is_refused(post: Post) -> None:
    key = {"Idempotency-Key": '"k"'}
    assert post(PATH, GIVEN, **key).status_code == 201
    refused = post(PATH, WITHDRAWN, **key)
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:rapport:problem:idempotency-key-reused")
    assert ConsentRecord.objects.count() == 1


def test_clients_do_not_share_idempotency_keys(post: Post) -> None:
    key = {"Idempotency-Key": '"k"'}
    assert post(PATH, GIVEN, **key).status_code == 201
    other = create_client("other", owner="", actor="test")
    may = {"services": ["support_chat"], "purposes": ["service"], "scopes": ["consent:write"], "actor": "test"}
    _, text = create_key(other, **may)
    assert post(PATH, WITHDRAWN, authorization=f"Bearer {text}", **key).status_code == 201
    assert status_of_spend(post) == "withheld"


@pytest.mark.parametrize("header", ["", '""', '"a', 'a"b', '"a\x7f"', "a b", '"' + "x" * 256 + '"', '"a";v=1', "é"])
def test_malformed_idempotency_key_is_refused(post: Post, header: str) -> None:
    response = post(PATH, GIVEN, **{"Idempotency-Key": header})
    assert (response.status_code, response.json()["title"]) == (400, "A header is malformed")
    assert not ConsentRecord.objects.exists()


@pytest.mark.parametrize("path", [PATH, "/v1/customers"])
@pytest.mark.parametrize("customer_id", ["a\0b", "a\x85", "\n"])
def test_malformed_customer_id_is_refused_before_the_database_is_asked(
    post: Post, monkeypatch: pytest.MonkeyPatch, path: str, customer_id: str
) -> None:
    post(PATH, b"")  # reads the key, which is then known

    def asked(*_: object) -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(decisions, "lock_change_sequence", asked)
    body = GIVEN if path == PATH else {"region": "EU", "brand": "lamp"}
    with CaptureQueriesContext(connection) as queries:
        response = post(path, body | {"customer_id": customer_id})
    assert (response.status_code, response.json()["type"]) == (400, "urn:rapport:problem:malformed")
    assert [query["sql"] for query in queries] == []


@pytest.mark.parametrize(
    ("change", "status", "name"),
    [
        ({"decided_at": "2099-01-01T00:00:00Z"}, 422, "wrong-date"),
        ({"decided_at": "2020-01-01T00:00:00Z"}, 422, "wrong-date"),
        ({"decided_at": "1969-01-01T00:00:00Z"}, 422, "wrong-date"),
        ({"decided_at": "2026-01-01T00:00:00"}, 400, "malformed"),
        ({"decided_at": 1_700_000_000}, 400, "malformed"),
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


def test_text_of_a_wrong_form_is_refused_in_words(post: Post) -> None:
    detail = post(PATH, GIVEN | {"reason": "first line\nsecond line"}).json()["detail"]
    assert detail == "Expected at most 500 characters, no line breaks - at `$.reason`"


def test_retired_purpose_takes_no_consent(post: Post) -> None:
    retire_purpose("service")
    assert post(PATH, GIVEN).json()["type"] == "urn:rapport:problem:inactive-purpose"


def test_decision_needs_the_scope_consent_write(post: Post) -> None:
    reader = create_client("reader", owner="", actor="test")
    _, text = create_key(
        reader, services=["support_chat"], purposes=["service"], scopes=["features:read"], actor="test"
    )
    assert post(PATH, GIVEN, authorization=f"Bearer {text}").status_code == 403


def test_consent_to_a_paused_purpose_says_so(post: Post) -> None:
    assert post(PATH, GIVEN).json()["paused"] is False
    pause("C7", "service", method="email", actor="petra", reason="contested")
    answer = post(PATH, GIVEN)
    assert (answer.status_code, answer.json()["effective"], answer.json()["paused"]) == (201, True, True)
    assert status_of_spend(post) == "withheld"
