"""POST /v1/features and /v1/features/batch: answers, problems of bodies and keys."""

import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.access.models import ApiKey
from featurestore.access.selectors import invalidate_credentials
from featurestore.access.services import create_client, create_key, revoke
from featurestore.api.handler import feature_handler
from featurestore.catalog import registry
from featurestore.config import settings as conf
from featurestore.store.memory import MemoryStore
from tests.kit.api import Post
from tests.kit.serving_environment import NOW_MS, ServingEnvironment

pytestmark = pytest.mark.usefixtures("environment")

FEATURES_PATH, BATCH_PATH = "/v1/features", "/v1/features/batch"
QUERY = {"service": "support_chat", "purpose": "service", "customer_id": "C42"}
BATCH_QUERY = {"service": "support_chat", "purpose": "service", "customer_ids": ["C42", "C43"]}


def test_every_feature_and_view_of_the_service_is_answered(post: Post) -> None:
    answer = post(FEATURES_PATH, QUERY).json()
    service = registry.services["support_chat"]
    assert set(answer["features"]) == set(service.defaults())
    assert list(answer["views"]) == [view.name for view in service.views]
    assert answer["features"]["spend_amount_sum_30d"] == 36.5
    assert answer["views"]["spend"]["status"] == "present"
    assert answer["views"]["tickets"]["status"] == "missing"
    assert answer["at"] == "2026-11-22T12:00:00.000Z"


def test_features_of_a_refused_customer_are_null(post: Post) -> None:
    response = post(FEATURES_PATH, QUERY | {"customer_id": "C43"})
    answer = response.json()
    assert response.status_code == 200
    assert answer["features"] == dict.fromkeys(registry.services["support_chat"].defaults())
    assert {(view["status"], view["reason"]) for view in answer["views"].values()} == {("withheld", "refused")}


def test_requested_defaults_of_a_withheld_view_are_marked(post: Post) -> None:
    answer = post(FEATURES_PATH, QUERY | {"customer_id": "C43", "withheld": "defaults"}).json()
    assert answer["features"] == registry.services["support_chat"].defaults()
    assert {(view["status"], view["defaults"]) for view in answer["views"].values()} == {("withheld", True)}
    known = post(FEATURES_PATH, QUERY | {"withheld": "defaults"})
    assert known.json() == post(FEATURES_PATH, QUERY).json()
    assert b'"defaults"' not in known.content, "present and missing views are not marked"


def test_batch_answers_null_or_marked_defaults(post: Post) -> None:
    batch = BATCH_QUERY | {"features": ["returns_90d"]}
    refused = post(BATCH_PATH, batch).json()["results"][1]
    assert refused["features"] == {"returns_90d": None}
    assert "defaults" not in refused["views"]["returns"]
    marked = post(BATCH_PATH, batch | {"withheld": "defaults"}).json()["results"][1]
    assert (marked["features"], marked["views"]["returns"]["defaults"]) == ({"returns_90d": 0}, True)


@pytest.mark.parametrize("withheld", [{}, {"withheld": "defaults"}])
def test_unknown_customer_is_answered_like_one_without_consent(
    post: Post, environment: ServingEnvironment, withheld: dict[str, str]
) -> None:
    environment.permit("registered", personalisation=True)
    unknown, registered = (
        post(FEATURES_PATH, QUERY | withheld | {"customer_id": "unknown"}),
        post(FEATURES_PATH, QUERY | withheld | {"customer_id": "registered"}),
    )
    assert unknown.content == registered.content
    assert {view["reason"] for view in unknown.json()["views"].values()} == {"no_consent"}


def test_purpose_that_no_view_serves_is_withheld(post: Post) -> None:
    answer = post(FEATURES_PATH, QUERY | {"service": "fraud_check"}).json()
    assert answer["views"] == {
        "order_risk": {"status": "withheld", "start": None, "age_s": None, "reason": "purpose_not_served"}
    }


def test_unvouched_store_is_withheld(post: Post, environment: ServingEnvironment) -> None:
    environment.store.restart()
    reasons = {view["reason"] for view in post(FEATURES_PATH, QUERY).json()["views"].values()}
    assert reasons == {"store_unvouched"}


def test_batch_is_answered_in_order(post: Post) -> None:
    ids = ["C43", "C42", "unknown", "C42"]
    results = post(BATCH_PATH, BATCH_QUERY | {"customer_ids": ids}).json()["results"]
    assert [result["views"]["spend"]["status"] for result in results] == ["withheld", "present", "withheld", "present"]
    assert results[1] == results[3] == post(FEATURES_PATH, QUERY).json()


def test_batch_that_takes_too_long_to_compute_is_refused(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr(feature_handler().reader, "clock", lambda: next(ticks) / 4)  # 250 ms a look at the clock
    response = post(BATCH_PATH, BATCH_QUERY | {"customer_ids": ["C42", "C43", "unknown"], "timeout_ms": 100})
    assert response.status_code == 503
    assert response.json()["detail"] == "The values could not be computed in time. Ask for fewer customers at a time."


def test_repeated_customer_is_read_once(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    read, requested = MemoryStore.read, []

    def watch(self: MemoryStore, subjects: Any, *others: Any) -> Any:
        requested.append(subjects)
        return read(self, subjects, *others)

    monkeypatch.setattr(MemoryStore, "read", watch)
    assert len(post(BATCH_PATH, BATCH_QUERY | {"customer_ids": ["C43", *["C42"] * 99]}).json()["results"]) == 100
    assert requested == [[ServingEnvironment.subject("C43"), ServingEnvironment.subject("C42")]]


@pytest.mark.parametrize("purpose", ["service", "analytics"])
def test_service_of_another_key_is_answered_like_an_unknown_one(post: Post, purpose: str) -> None:
    problems = []
    for service in ("sales_chat", "nothing"):
        response = post(FEATURES_PATH, QUERY | {"service": service, "purpose": purpose})
        problems.append((response.status_code, response.json() | {"instance": ""}))
    assert problems[0] == problems[1]
    assert problems[0][0] == 404


def test_batch_of_100_longest_ids_fits_into_a_body(post: Post) -> None:
    ids = [f"{i:0256}" for i in range(100)]
    assert len(post(BATCH_PATH, BATCH_QUERY | {"customer_ids": ids}).json()["results"]) == 100


@pytest.mark.parametrize("id_", ["crm:42", 'with "quotes": and {braces}', "ünï-çødé", "a" * 256, "\\", "日本", "😀"])
def test_identifiers_of_all_kinds_are_read(post: Post, environment: ServingEnvironment, id_: str) -> None:
    environment.permit(id_, service=True)
    assert post(FEATURES_PATH, QUERY | {"customer_id": id_}).json()["views"]["spend"]["status"] == "missing"


@pytest.mark.parametrize(
    ("path", "body", "status", "detail"),
    [
        (FEATURES_PATH, b"{", 400, "Input data was truncated"),
        (FEATURES_PATH, b"[]", 400, "Expected `object`, got `array`"),
        (FEATURES_PATH, b"null", 400, "Expected `object`, got `null`"),
        (FEATURES_PATH, b'{"service":"support_chat"}', 400, "Object missing required field `purpose`"),
        (FEATURES_PATH, b"[" * 60_000, 400, "Expected `object`, got `array`"),
        (FEATURES_PATH, b'{"service":' + b"[" * 60_000, 400, "Expected `str`, got `array` - at `$.service`"),
        (FEATURES_PATH, b'{"customer_id":"\xff"}', 400, "The body is not UTF-8."),
        (FEATURES_PATH, b'{"customer_id":"\x00"}', 400, "JSON is malformed: invalid character (byte 16)"),
        (FEATURES_PATH, b'{"customer_id":"a"} {}', 400, None),
        (
            FEATURES_PATH,
            QUERY | {"customer_id": "\0"},
            400,
            "customer_id must not hold control characters - at `$.customer_id`",
        ),
        (
            FEATURES_PATH,
            QUERY | {"customer_id": "a\nb"},
            400,
            "customer_id must not hold control characters - at `$.customer_id`",
        ),
        (FEATURES_PATH, QUERY | {"customer_id": "\ud800"}, 400, None),
        (FEATURES_PATH, QUERY | {"customer_id": ""}, 400, "Expected `str` of length >= 1 - at `$.customer_id`"),
        (
            FEATURES_PATH,
            QUERY | {"customer_id": "a" * 10_000},
            400,
            "Expected `str` of length <= 256 - at `$.customer_id`",
        ),
        (FEATURES_PATH, QUERY | {"customer_id": 42}, 400, "Expected `str`, got `int` - at `$.customer_id`"),
        (FEATURES_PATH, QUERY | {"customer_id": None}, 400, "Expected `str`, got `null` - at `$.customer_id`"),
        (
            FEATURES_PATH,
            QUERY | {"customer-id": "C42"},
            400,
            "Unknown field: known are service, purpose, features, timeout_ms, as_of, withheld, customer_id",
        ),
        (FEATURES_PATH, QUERY | {"timeout_ms": 9}, 400, "Expected `float` >= 10.0 - at `$.timeout_ms`"),
        (FEATURES_PATH, QUERY | {"timeout_ms": 2001}, 400, "Expected `float` <= 2000.0 - at `$.timeout_ms`"),
        (FEATURES_PATH, QUERY | {"timeout_ms": 10**30}, 400, None),
        (FEATURES_PATH, QUERY | {"timeout_ms": True}, 400, "Expected `float | null`, got `bool` - at `$.timeout_ms`"),
        (FEATURES_PATH, QUERY | {"features": []}, 400, "Expected `array` of length >= 1 - at `$.features`"),
        (FEATURES_PATH, QUERY | {"features": ["a" * 101]}, 400, "Expected `str` of length <= 100 - at `$.features[0]`"),
        (BATCH_PATH, BATCH_QUERY | {"customer_ids": ["C42", "a\x85"]}, 400, None),
        (BATCH_PATH, BATCH_QUERY | {"customer_ids": "C42"}, 400, "Expected `array`, got `str` - at `$.customer_ids`"),
        (
            BATCH_PATH,
            BATCH_QUERY | {"customer_ids": ["x"] * 101},
            422,
            "Request 1 to 100 customers at a time - at `$.customer_ids`",
        ),
        (
            BATCH_PATH,
            BATCH_QUERY | {"customer_ids": []},
            422,
            "Request 1 to 100 customers at a time - at `$.customer_ids`",
        ),
        (FEATURES_PATH, b" " * 65_537, 413, "A body has at most 65536 bytes."),
        (FEATURES_PATH, b'{"service":"' + b"a" * 3_000_000, 413, "A body has at most 65536 bytes."),
        (FEATURES_PATH, QUERY | {"purpose": "analytics"}, 403, None),
        (FEATURES_PATH, QUERY | {"purpose": "no_such_purpose"}, 403, None),
        (FEATURES_PATH, QUERY | {"service": "nothing"}, 404, None),
        (FEATURES_PATH, QUERY | {"features": ["returns_90d", "C42"]}, 422, None),
    ],
)
def test_wrong_request_is_a_problem_without_its_values(
    post: Post, path: str, body: Any, status: int, detail: str | None
) -> None:
    response = post(path, body)
    problem = response.json()
    assert response.status_code == problem["status"] == status
    assert response["Content-Type"] == "application/problem+json"
    assert set(problem) == {"type", "title", "status", "detail", "instance"}
    if detail is not None:
        assert problem["detail"] == detail
    assert "C42" not in response.content.decode(), "no identifier is repeated"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"service":"support_chat","purpose":"service","customer_id":"C43","customer_id":"C42"}',
        b'{"service":"support_chat","purpose":"service","customer_id":"C43","customer\\u005fid":"C42"}',
        b'{"service":"support_chat","purpose":"fraud" , "purpose" : "service","customer_id":"a:b"}',
        b'{"service":"support_chat","purpose":"service","customer_id":"C43","features":null,"features":null}',
    ],
)
def test_repeated_field_is_refused(post: Post, raw: bytes) -> None:
    assert post(FEATURES_PATH, raw).json()["detail"] == "A field is repeated: send each once."


def test_null_equals_an_absent_field(post: Post) -> None:
    assert post(FEATURES_PATH, QUERY | {"features": None, "timeout_ms": None}).status_code == 200


def test_unavailable_store_is_503_until_it_is_back(post: Post, environment: ServingEnvironment) -> None:
    environment.store.available = False
    response = post(FEATURES_PATH, QUERY)
    assert (response.status_code, response["Retry-After"]) == (503, "1")
    assert response.json()["type"] == "urn:rapport:problem:unavailable"
    environment.store.available = True
    assert post(FEATURES_PATH, QUERY).status_code == 200


def test_timeout_of_the_request_reaches_the_store(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    timeouts_ms: list[int] = []
    read = MemoryStore.read

    def watched(self: MemoryStore, subjects: Any, fields: Any, watermarks: Any, timeout_ms: int) -> Any:
        timeouts_ms.append(timeout_ms)
        return read(self, subjects, fields, watermarks, timeout_ms)

    monkeypatch.setattr(MemoryStore, "read", watched)
    post(FEATURES_PATH, QUERY | {"timeout_ms": 77})
    post(FEATURES_PATH, QUERY | {"timeout_ms": 78.0})
    post(FEATURES_PATH, QUERY)
    assert timeouts_ms == [77, 78, conf().store_timeout_ms]


def test_all_invalid_keys_get_the_same_answer(client: Client, post: Post, key: str) -> None:
    bot = create_client("old-bot", owner="", actor="test")
    may = {"services": ["support_chat"], "purposes": ["service"], "scopes": ["features:read"], "actor": "test"}
    expired, expired_text = create_key(bot, **may)
    yesterday = datetime.fromtimestamp(NOW_MS / 1000, UTC) - timedelta(days=1)
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=yesterday)
    revoked, revoked_text = create_key(bot, **may)
    revoke(revoked, actor="test")
    wrong = [key[:-1] + "z", expired_text, revoked_text, "", "rap_x", "é" * 30]
    headers = ["Basic Og==", "Bearer", key, *(f"Bearer {text}" for text in wrong)]
    answers = set()
    for header in headers:
        response = post(FEATURES_PATH, QUERY, authorization=header)
        problem = response.json()
        problem.pop("instance")
        answers.add((response.status_code, response["WWW-Authenticate"], json.dumps(problem)))
    assert len(answers) == 1
    assert answers.pop()[:2] == (401, 'Bearer realm="rapport", error="invalid_token"')
    assert post(FEATURES_PATH, QUERY, authorization="")["WWW-Authenticate"] == 'Bearer realm="rapport"'


def test_authorization_scheme_is_case_insensitive(post: Post, key: str) -> None:
    assert post(FEATURES_PATH, QUERY, authorization=f"bearer  {key} ").status_code == 200


def test_read_needs_the_scope_features_read(post: Post) -> None:
    bot = create_client("consent-page", owner="", actor="test")
    _, text = create_key(bot, services=[], purposes=["service"], scopes=["consent:write"], actor="test")
    invalidate_credentials()
    response = post(FEATURES_PATH, QUERY, authorization=f"Bearer {text}")
    assert response.status_code == 403
    assert response.json()["detail"] == "This key does not hold the scope features:read."


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
FIELDS = ["service", "purpose", "customer_id", "customer_ids", "features", "timeout_ms"]
NEARLY_VALID = st.fixed_dictionaries(
    {"service": st.just("support_chat") | JSON, "purpose": st.just("service") | JSON},
    optional={
        "customer_id": st.text() | JSON,
        "customer_ids": st.lists(st.text(), max_size=3) | JSON,
        "features": st.lists(st.sampled_from(["returns_90d", "x"])) | JSON,
        "timeout_ms": st.integers(0, 3000) | JSON,
        "as_of": st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat) | JSON,
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(path=st.sampled_from([FEATURES_PATH, BATCH_PATH]), body=NEARLY_VALID | JSON | st.binary(max_size=50))
def test_no_body_causes_a_server_error(post: Post, path: str, body: Any) -> None:
    response = post(path, body)
    assert response.status_code in {200, 400, 403, 404, 422}
    assert response.json()
